/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_HTTP_H
#define SERVICE_HTTP_H
/* The HTTP server of both listeners, on evhttp: bounded, with long-lived idle connections and plain-text responses. */
#include "connections.h"
#include "service/telemetry/rejection_log.h"

#include <stdbool.h>
#include <stddef.h>

struct access_policy;
struct event_base;
struct evhttp_request;
struct http;

/* Called for each authorized request of any method, unless its framing is ambiguous. */
struct http_handler {
    void (*handle)(struct evhttp_request *request, void *ctx);
    void *ctx;
    const char *const *unauthenticated_paths; /* NULL-terminated: they need neither client certificate nor credentials;
                                                 or NULL */
};

/* 0: *httpp is the caller's; it borrows rejections and handler. -ENOMEM. */
int http_new(struct http **httpp, struct event_base *base, struct rejection_log *rejections,
             const struct http_handler *handler);

/* Closes all connections. NULL is fine. */
void http_free(struct http *http);

/* Applies from now on, also to requests on open connections. Call it before http_listen(). */
void http_set(struct http *http, const struct connections_settings *settings, struct access_policy *policy);

/* Listens on an address, as listen_at() does; more than one is fine. 0 or a negative errno value. */
int http_listen(struct http *http, const char *address, char *bound, size_t size);

/* The number of open connections; 0 for NULL. */
size_t http_connections(const struct http *http);

/* Accepts no new connections and no new requests, and closes idle connections. If http_has_pending_auth(), auth_done()
   is called when the last pending check is done. */
void http_drain(struct http *http, void (*auth_done)(void *ctx), void *ctx);

/* Whether requests wait for their password check. */
bool http_has_pending_auth(const struct http *http);

/* Refuses a request, and counts and logs it under a limit. */
void http_refuse(struct http *http, struct evhttp_request *request, enum limit limit, int status, const char *reason);

/* Responds with a body, which is taken over and freed in any case; to HEAD without the body. */
void http_reply_body(struct evhttp_request *request, int status, const char *type, char *body, size_t len);

/* Responds with a line of text, to which a LF is added; to HEAD without it. */
void http_reply(struct evhttp_request *request, int status, const char *text);

#endif
