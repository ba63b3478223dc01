/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_FETCH_H
#define PROXY_FETCH_H
/*
 * One answer of a service, fetched over a connection that may have been used before.
 *
 * A fetch tells its story through fetch_events: head once, body any number of times, end once; or, cancelled by
 * fetch_free(), nothing any more.
 *
 * A redirect within the same scheme, host and port is followed, and its listener does not hear of it; any other fails
 * the fetch. So no status of a head is 3xx.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

struct evkeyvalq;
struct fetch;
struct upstream;

/* How a listener wants the fetch to go on. */
enum fetch_action {
    FETCH_CONTINUE,
    FETCH_PAUSE, /* body only: the same bytes come again after fetch_resume() */
    FETCH_ABORT, /* end follows, with FETCH_FAILED */
};

/* How far a fetch is. */
enum fetch_progress {
    FETCH_WAITS,    /* it is not its turn; it need not have begun */
    FETCH_RESOLVES, /* the addresses of its host are not known yet */
    FETCH_CONNECTS, /* it has no connection yet */
    FETCH_ASKED,    /* the service has the request */
};

/* How a fetch ended. */
enum fetch_result {
    FETCH_WHOLE,       /* its length or its last chunk proves it */
    FETCH_CLOSED,      /* the connection was closed behind it; that proves nothing */
    FETCH_FAILED,      /* it, and those behind it, fail the fetch; reason tells why */
    FETCH_REDIRECTED,  /* it redirects, and not to where we follow */
    FETCH_UNREACHABLE, /* there was no connection */
    FETCH_BROKEN,      /* the connection ended too early */
    FETCH_NO_MEMORY,   /* there was none for it */
};

struct fetch_events {
    /* A final status and its headers, borrowed until the fetch's end. */
    enum fetch_action (*head)(void *ctx, int status, const struct evkeyvalq *headers);
    enum fetch_action (*body)(void *ctx, struct ss_span bytes);
    /* The fetch may be freed in there, and nowhere earlier among these. reason is borrowed for the call. */
    void (*end)(void *ctx, enum fetch_result result, const char *reason);
};

/* How a service is asked over TLS: files by their names, NULL: none. */
struct fetch_tls {
    const char *ca;                /* NULL: the system's */
    const char *certificate, *key; /* to show to the service */
    bool insecure;                 /* whoever answers is believed */
    bool any_end;                  /* a connection that ends without a close_notify has ended, too, and was not cut */
};

struct fetch_request {
    const char *url;
    const char *socket;            /* file of a unix socket, or NULL */
    const char *connect_to, *host; /* CURLOPT_CONNECT_TO's value and the Host header, if not the URL's; or NULL */
    struct fetch_tls tls;
    int64_t keepalive;               /* milliseconds that the connection is kept without a request; 0: it is closed */
    bool gzip;                       /* ask for gzip, not for the plain body */
    const struct evkeyvalq *headers; /* sent as they are, besides Host and Accept-Encoding */
};

/* Begins a GET. 0: *fetchp is the caller's; its events come from the event loop, never from in here. -ENOMEM. */
int fetch_new(struct fetch **fetchp, struct upstream *upstream, const struct fetch_request *request,
              const struct fetch_events *events, void *ctx);

/* How libcurl's debug text begins where bytes stand after a body's length, or after its last chunk. */
#define FETCH_SAYS_EXCESS "Excess found"
#define FETCH_SAYS_STRAY "Leftovers after chunking"

/* For upstream_new(). */
extern const struct upstream_hooks fetch_hooks;

/* NULL, one that has not begun, is fine. */
enum fetch_progress fetch_progress(const struct fetch *fetch);

/* Goes on after FETCH_PAUSE; body() may be called from in here. False: it was stopped in there, or part of the body is
   lost for want of memory; the fetch is to be freed, and tells no end. */
bool fetch_resume(struct fetch *fetch);

/* Ends the fetch, its connection too if the answer was not at its end. Not from head() or body(). NULL is fine. */
void fetch_free(struct fetch *fetch);

#endif
