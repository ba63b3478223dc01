/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include "auth_queue.h"
#include "listen.h"
#include "service/access/access_policy.h"
#include "service/access/tls.h"
#include "service/telemetry/rejection_log.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

enum {
    /* Request bodies are ignored; one that fits is read and discarded, so that the connection can be kept. */
    BODY_MAX = 8 * 1024,
    /* What a client may pipeline during a response. More than evhttp needs to see that a header is too large. */
    READ_MAX = 16 * 1024,
    /* Bytes per system call; libevent's 16 KiB would quadruple a response's calls. */
    WRITE_MAX = 256 * 1024,
    /* Prometheus keeps idle connections for 5 minutes, and should be the one that closes first. */
    IDLE_SECONDS = 320,
};

struct http {
    struct event_base *base;
    struct evhttp *evhttp;
    struct connections connections;
    struct auth_queue auth_queue;
    const struct http_handler *handler;
    bool draining;
    void (*auth_done)(void *ctx); /* while draining */
    void *auth_done_ctx;
};

/* evhttp keeps reading while it sends an error of its own; without a watermark a client could fill the memory. */
static struct bufferevent *
new_connection(struct event_base *base, void *ctx)
{
    struct http *http = ctx;
    SSL_CTX *tls = http->connections.policy->tls;
    struct bufferevent *bev = tls ? tls_accept(tls, base) : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    /* Without one evhttp makes its own, without TLS: on_request() refuses that too, as it has no record. */
    if (bev) {
        bufferevent_setwatermark(bev, EV_READ, 0, READ_MAX);
        bufferevent_set_max_single_write(bev, WRITE_MAX);
        connections_add(&http->connections, bev); /* without a record, on_request() refuses */
    }
    return bev;
}

/*
 * Whether a request has, or may have, a body that evhttp does not read, or whose end others see elsewhere: evhttp would
 * take the rest for the next request.
 */
static bool
has_ambiguous_framing(struct evhttp_request *request)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const struct evkeyval *h;
    const char *length = NULL;

    TAILQ_FOREACH (h, evhttp_request_get_input_headers(request), next) {
        if (strpbrk(h->key, " \t") || !strcasecmp(h->key, "Transfer-Encoding"))
            return true;
        if (strcasecmp(h->key, "Content-Length") != 0)
            continue;
        if (length && strcmp(h->value, length) != 0)
            return true;
        length = h->value;
    }
    return length && strcmp(length, "0") != 0 && (method == EVHTTP_REQ_HEAD || method == EVHTTP_REQ_TRACE);
}

/* evhttp closes the connection after a request of any method but CONNECT. */
static void
close_after_response(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    if (request->type == EVHTTP_REQ_CONNECT)
        request->type = EVHTTP_REQ_OPTIONS;
    evhttp_remove_header(headers, "Connection");
    evhttp_add_header(headers, "Connection", "close");
}

/* Access. */

void
http_refuse(struct http *http, struct evhttp_request *request, enum limit limit, int status, const char *reason)
{
    char text[PEER_TEXT];
    struct peer peer = connection_peer(connection_of(request));
    peer_print(&peer, text);
    rejection_report(http->connections.rejections, limit, text, reason);
    if (status == 401)
        access_add_challenge(http->connections.policy, request);
    if (status == 429)
        evhttp_add_header(evhttp_request_get_output_headers(request), "Retry-After", "5");
    http_reply(request, status, reason);
}

static void
refuse_pending_auth(struct http *http, struct evhttp_request *request)
{
    http_refuse(http, request, LIMIT_ATTEMPTS, 429, "too many pending password checks; try again later");
}

static void
check_password(struct http *http, struct evhttp_request *request, struct credential *credential)
{
    int status = auth_queue_add(&http->auth_queue, request, http->connections.policy, credential);
    credential_deinit(credential);
    if (status == 429)
        refuse_pending_auth(http, request);
    else if (status)
        http_reply(request, status, "cannot check the password: out of resources");
}

static bool
needs_no_auth(const struct http *http, struct evhttp_request *request)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    for (const char *const *p = http->handler->unauthenticated_paths; p && *p; p++)
        if (path && !strcmp(path, *p))
            return true;
    return false;
}

static void
handle_authorized(struct http *http, struct evhttp_request *request)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    struct access_policy *policy = http->connections.policy;
    struct peer peer = connection_peer(connection_of(request));
    struct credential credential;
    struct access_refusal refusal;

    connection_start_response(connection_of(request));
    if (tls_is(bev) && !tls_is_under(bev, policy->tls))
        close_after_response(request); /* the next connection gets the current certificate */
    if (!access_allows_peer(policy, &peer)) {
        http_refuse(http, request, LIMIT_NETWORK, 403, "client address not in allow_networks");
        return;
    }
    if (policy->tls && !tls_is(bev)) {
        close_after_response(request);
        http_refuse(http, request, LIMIT_TLS, 403, "this listener requires TLS");
        return;
    }
    switch (needs_no_auth(http, request) ? ACCESS_GRANTED : access_check(policy, request, bev, &credential, &refusal)) {
    case ACCESS_GRANTED:
        http->handler->handle(request, http->handler->ctx);
        break;
    case ACCESS_DENIED:
        http_refuse(http, request, LIMIT_CREDENTIALS, refusal.status, refusal.reason);
        break;
    case ACCESS_PENDING:
        check_password(http, request, &credential);
    }
}

/* The credential was cached by the policy it was checked against. Another policy may apply by now. */
static void
on_auth_done(struct evhttp_request *request, enum auth_result result, void *ctx)
{
    struct http *http = ctx;
    struct access_refusal refusal = access_refuse();
    if (result == AUTH_MATCHES)
        handle_authorized(http, request);
    else if (result == AUTH_DISPLACED)
        refuse_pending_auth(http, request);
    else
        http_refuse(http, request, LIMIT_CREDENTIALS, refusal.status, refusal.reason);
    if (http->draining && !http_has_pending_auth(http))
        http->auth_done(http->auth_done_ctx);
}

static void
on_request(struct evhttp_request *request, void *ctx)
{
    struct http *http = ctx;
    struct connection *connection = connection_start_request(&http->connections, request);

    if (http->draining)
        close_after_response(request);
    if (!connection) {
        close_after_response(request);
        http_reply(request, 503, "out of memory");
    } else if (request->type == EVHTTP_REQ_CONNECT) {
        close_after_response(request);
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
        http_reply(request, 405, "CONNECT is not supported: scrapeshard is not a proxy for other hosts");
    } else if (has_ambiguous_framing(request)) {
        close_after_response(request);
        http_reply(request, 400, "ambiguous message framing; expected a request without a body");
    } else if (http->draining) {
        http_reply(request, 503, "scrapeshard is shutting down");
    } else {
        handle_authorized(http, request);
    }
}

int
http_new(struct http **httpp, struct event_base *base, struct rejection_log *rejections,
         const struct http_handler *handler)
{
    struct http *http = calloc(1, sizeof(*http));
    if (!http)
        return -ENOMEM;
    http->base = base;
    http->handler = handler;
    auth_queue_init(&http->auth_queue, base, on_auth_done, http);
    http->evhttp = evhttp_new(base);
    if (!http->evhttp || connections_init(&http->connections, base, rejections)) {
        http_free(http);
        return -ENOMEM;
    }
    evhttp_set_max_headers_size(http->evhttp, CONNECTION_HEADER_MAX); /* evhttp's default is unlimited */
    evhttp_set_max_body_size(http->evhttp, BODY_MAX);
    evhttp_set_timeout(http->evhttp, IDLE_SECONDS);
    evhttp_set_default_content_type(http->evhttp, "text/plain; charset=utf-8");
    /* All of them, so that the handler responds with Allow. */
    evhttp_set_allowed_methods(http->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                                 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_bevcb(http->evhttp, new_connection, http);
    evhttp_set_gencb(http->evhttp, on_request, http);
    *httpp = http;
    return 0;
}

void
http_free(struct http *http)
{
    if (!http)
        return;
    if (http->evhttp)
        evhttp_free(http->evhttp);
    auth_queue_deinit(&http->auth_queue);
    connections_deinit(&http->connections);
    free(http);
}

void
http_set(struct http *http, const struct connections_settings *settings, struct access_policy *policy)
{
    connections_set(&http->connections, settings, policy);
}

int
http_listen(struct http *http, const char *address, char *bound, size_t size)
{
    struct evconnlistener *listener;
    int r = listen_at(&listener, http->base, address, bound, size);
    if (r)
        return r;
    if (!evhttp_bind_listener(http->evhttp, listener)) {
        evconnlistener_free(listener);
        return -ENOMEM;
    }
    return 0;
}

static void
stop_listening(struct evhttp_bound_socket *socket, void *ctx)
{
    (void)ctx;
    listen_stop(evhttp_bound_socket_get_listener(socket));
}

size_t
http_connections(const struct http *http)
{
    return http ? http->connections.n : 0;
}

bool
http_has_pending_auth(const struct http *http)
{
    return http->auth_queue.n;
}

void
http_drain(struct http *http, void (*auth_done)(void *ctx), void *ctx)
{
    http->draining = true;
    http->auth_done = auth_done;
    http->auth_done_ctx = ctx;
    evhttp_foreach_bound_socket(http->evhttp, stop_listening, NULL);
    connections_close_idle(&http->connections);
}

static void
free_body(const void *bytes, size_t len, void *body)
{
    (void)bytes, (void)len;
    free(body);
}

void
http_reply_body(struct evhttp_request *request, int status, const char *type, char *bytes, size_t len)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct connection *connection = connection_of(request);
    struct evbuffer *body = evbuffer_new();
    /* evhttp would send a body in response to HEAD too. */
    bool is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    char length[24];

    if (connection)
        connection_set_deadline(connection);
    if (is_head || !body || evbuffer_add_reference(body, bytes, len, free_body, bytes)) {
        free(bytes);
        if (!is_head) {
            status = 503;
            len = 0;
        }
    }
    evhttp_remove_header(headers, "Content-Type");
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    snprintf(length, sizeof(length), "%zu", len);
    evhttp_add_header(headers, "Content-Length", length);
    evhttp_send_reply(request, status, NULL, body);
    connection_pause_input(evhttp_request_get_connection(request));
    if (connection && !connection_response_is_complete(connection))
        connection_abort(evhttp_request_get_connection(request));
    if (body)
        evbuffer_free(body);
}

void
http_reply(struct evhttp_request *request, int status, const char *text)
{
    char *line = NULL;
    int len = asprintf(&line, "%s\n", text);
    http_reply_body(request, status, "text/plain; charset=utf-8", len < 0 ? NULL : line, len < 0 ? 0 : (size_t)len);
}
