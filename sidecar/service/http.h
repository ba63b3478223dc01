/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_HTTP_H
#define SERVICE_HTTP_H
/* An evhttp server as both listeners need it: bounded, patient with idle keep-alive connections, text as answers. */
#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct evhttp;
struct evhttp_request;

/* Asked for each request, whatever its method, that has no body to be misread. */
struct http_handler {
    void (*handle)(struct evhttp_request *request, void *ctx);
    void *ctx;
};

/* 0: *httpp is the caller's, to be freed with evhttp_free(); it borrows the handler. -ENOMEM. */
int http_new(struct evhttp **httpp, struct event_base *base, const struct http_handler *handler);

/* Whether http_listen() knows what is meant. */
bool http_is_address(const char *address);

/*
 * Listens on :PORT (all addresses), ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH; port 0 lets the kernel choose. bound
 * gets what it became, in the same form. 0, or a negative errno value: -EINVAL for what is no address.
 */
int http_listen(struct evhttp *http, struct event_base *base, const char *address, char *bound, size_t size);

/* Answers with a body of any type, which is taken over and freed, whatever happens; to HEAD, without it. */
void http_reply_body(struct evhttp_request *request, int status, const char *type, char *body, size_t len);

/* Answers with a line of text, a LF added; as the answer to HEAD, without it. */
void http_reply(struct evhttp_request *request, int status, const char *text);

#endif
