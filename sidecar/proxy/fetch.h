/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_FETCH_H
#define PROXY_FETCH_H
/*
 * One response of an upstream, fetched over a connection that may be reused.
 *
 * A fetch reports through fetch_events: head once, body any number of times, end once. After fetch_free() it reports
 * nothing.
 *
 * A redirect within the same scheme, host and port is followed without the listener seeing it; any other fails the
 * fetch. So head() never gets a 3xx status.
 */
#include <scrapeshard/span.h>

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

struct evkeyvalq;
struct fetch;
struct upstream;

/* A listener's verdict. */
enum fetch_action {
    FETCH_CONTINUE,
    FETCH_PAUSE, /* body only: until fetch_resume() */
    FETCH_ABORT, /* end follows, with FETCH_FAILED */
};

/* How far a fetch is. */
enum fetch_progress {
    FETCH_QUEUED,       /* not started */
    FETCH_RESOLVING,    /* waits for the addresses of its host */
    FETCH_CONNECTING,   /* has no connection yet */
    FETCH_REQUEST_SENT, /* waits for the response */
};

/* How a fetch ended. */
enum fetch_result {
    FETCH_COMPLETE,    /* its length or its last chunk proves it */
    FETCH_CLOSED,      /* the connection was closed after it, which proves nothing */
    FETCH_FAILED,      /* this and all that follow are failures, with a reason */
    FETCH_REDIRECTED,  /* a redirect that we do not follow */
    FETCH_UNREACHABLE, /* there was no connection */
    FETCH_TRUNCATED,   /* the connection ended too early */
    FETCH_NO_MEMORY,
};

struct fetch_events {
    /* A final status and its headers, borrowed until the fetch ends. */
    enum fetch_action (*head)(void *ctx, int status, const struct evkeyvalq *headers);
    /* Takes bytes from the front of *bytes: all of them, unless it pauses or aborts. After a pause it is called with
       the rest, even if that is empty. */
    enum fetch_action (*body)(void *ctx, struct ss_span *bytes);
    /* The only one of these in which the fetch may be freed. reason is borrowed for the call. */
    void (*end)(void *ctx, enum fetch_result result, const char *reason);
    /* A request is about to be sent over a connection that had others before, or none. NULL: nobody counts. */
    void (*connected)(void *ctx, bool reused);
};

struct fetch_tls {
    SSL_CTX *settings;               /* from tls_client_new(): authorities and client certificate; NULL: the defaults */
    bool insecure;                   /* do not verify the upstream's certificate */
    bool allow_missing_close_notify; /* do not take a connection that ends without one for truncated */
};

struct fetch_request {
    const char *url;
    const char *socket;            /* path of a unix socket, or NULL */
    const char *connect_to, *host; /* CURLOPT_CONNECT_TO's value and the Host header, if not the URL's; or NULL */
    const char *host_header;       /* the Host header in any case, or NULL; redirects do not go by it */
    struct fetch_tls tls;
    int64_t keepalive;               /* milliseconds for which an idle connection is kept; 0: it is closed */
    bool gzip;                       /* request gzip, not identity */
    const struct evkeyvalq *headers; /* sent as they are, besides Host and Accept-Encoding */
};

/* Starts a GET. 0: *fetchp is the caller's; its events come from the event loop, never from in here. -ENOMEM. */
int fetch_new(struct fetch **fetchp, struct upstream *upstream, const struct fetch_request *request,
              const struct fetch_events *events, void *ctx);

/* How libcurl's debug text begins when bytes follow a body's length, or its last chunk. */
#define LIBCURL_EXTRA_BODY "Excess found"
#define LIBCURL_TRAILING_BYTES "Leftovers after chunking"

/* For upstream_new(). */
extern const struct upstream_hooks fetch_hooks;

/* NULL: FETCH_QUEUED. */
enum fetch_progress fetch_progress(const struct fetch *fetch);

/* Continues after FETCH_PAUSE; body() may be called from in here. If that fails, end() follows. */
void fetch_resume(struct fetch *fetch);

/* Cancels the fetch; closes its connection unless the response is complete. Not from head() or body(). NULL is fine. */
void fetch_free(struct fetch *fetch);

#endif
