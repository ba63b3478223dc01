/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_HTTP_H
#define SERVICE_HTTP_H
/* An evhttp server as both listeners need it: bounded, patient with idle keep-alive connections, text as answers. */
#include "connections.h"
#include "service/telemetry/rejection_log.h"

#include <stdbool.h>
#include <stddef.h>

struct access_policy;
struct event_base;
struct evhttp_request;
struct http;

/* Asked for each request, whatever its method, that has no body to be misread. */
struct http_handler {
    void (*handle)(struct evhttp_request *request, void *ctx);
    void *ctx;
    const char *const *unauthenticated_paths; /* paths that need neither a client's certificate nor credentials, NULL
                                                 behind them; or NULL */
};

/* 0: *httpp is the caller's; it borrows limits and handler. -ENOMEM. */
int http_new(struct http **httpp, struct event_base *base, struct rejection_log *rejections,
             const struct http_handler *handler);

/* Ends all connections. NULL is fine. */
void http_free(struct http *http);

/* What is in force from now on, for requests on connections that are open too. Not before that is anybody let in. */
void http_set(struct http *http, const struct connections_settings *settings, struct access_policy *policy);

/* Listens at an address of listen.h; more than one is fine. bound gets what it became. 0 or a negative errno value. */
int http_listen(struct http *http, const char *address, char *bound, size_t size);

/* How many connections are open; none for NULL. */
size_t http_connections(const struct http *http);

/* Takes no new connections and no new requests, and closes those that wait for one. auth_done() is told when the last
   request that was there before has had its credentials matched; if http_has_pending_auth(). */
void http_drain(struct http *http, void (*auth_done)(void *ctx), void *ctx);

/* Whether there are requests whose credentials are being matched. */
bool http_has_pending_auth(const struct http *http);

/* Answers a request that is not let in, and counts and logs it as one of a limit. */
void http_refuse(struct http *http, struct evhttp_request *request, enum limit limit, int status, const char *reason);

/* Answers with a body of any type, which is taken over and freed, whatever happens; to HEAD, without it. */
void http_reply_body(struct evhttp_request *request, int status, const char *type, char *body, size_t len);

/* Answers with a line of text, a LF added; as the answer to HEAD, without it. */
void http_reply(struct evhttp_request *request, int status, const char *text);

#endif
