/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_FETCH_STATE_H
#define PROXY_FETCH_STATE_H
/* A fetch, for fetch.c, fetch_head.c and fetch_request.c alone. */
#include "chunk_sizes.h"
#include "close_notify.h"
#include "destination.h"
#include "fetch.h"
#include "upstream.h"

#include <curl/curl.h>
#include <event2/event_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdint.h>

/* What delimits a response's body. */
enum framing { FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_CHUNKED };

struct fetch {
    struct upstream *upstream;
    const struct fetch_events *events;
    void *ctx;
    CURL *easy;
    struct curl_slist *request_headers, *connect_to;
    char *host;   /* the Host header, if not the URL's */
    char *socket; /* path of a unix socket, or NULL */
    unsigned socket_number;
    struct destination destination;
    bool added; /* easy is in the upstream's multi handle */
    int64_t keepalive;
    bool is_tls;
    bool resumes;           /* a TLS session, if it needs a new connection */
    bool failed_to_connect; /* perhaps because of the session that was offered */
    bool request_sent;

    struct curl_slist *redirected; /* the URLs whose responses were redirects */
    char *target;                  /* where this response redirects to, or NULL */
    size_t redirect_body;

    int status;
    char *line; /* a header, until the next line shows whether it is folded; or NULL */
    struct evkeyvalq headers;
    size_t head_bytes;
    bool head_done;
    char last_line[60]; /* the beginning of the last header line that libcurl split off */
    size_t last_line_len;
    bool last_line_rejected; /* on_header() did not get it */
    enum framing framing;
    char length[19];             /* the first Content-Length: what libcurl counts in 63 bits */
    uint64_t data_in;            /* bytes of the body, and those after it that libcurl read with it */
    enum unsolicited extra_kind; /* of those after it, as far as libcurl shows them */
    enum unsolicited extra_body; /* what came after the body's length */
    bool blank_counts;           /* in this format CR and LF may begin another message */
    struct chunk_sizes chunks;   /* FRAMING_CHUNKED */
    bool trailing_bytes;         /* bytes came after its last chunk */
    SSL_CTX *tls_settings;       /* a reference, or NULL */
    bool allow_missing_close_notify;
    struct close_notify close_notify; /* over TLS */
    struct ss_span read;              /* what libcurl is about to pass on of the body; empty: nobody knows */
    size_t taken;                     /* of the bytes that libcurl offers next: the listener has them */
    struct event resumed;             /* a resume that failed; without an allocation that could fail, too */
    CURLcode resume_error;

    uint64_t failures;   /* alloc_failures_of_curl() at the start */
    bool no_memory;      /* for the response header */
    const char *refusal; /* why we aborted, or NULL */
    bool is_redirect;    /* the refusal is of a redirect */
    char reason[300];    /* a refusal that quotes the response */
    char error[CURL_ERROR_SIZE];
};

/* Refuses the response for this reason, which has to last. FETCH_ABORT. */
enum fetch_action fetch_refuse(struct fetch *fetch, const char *why);

/* Sets all options of the request and of its response's callbacks, with a new easy handle. 0 or -ENOMEM. */
int fetch_set_request(struct fetch *fetch, const struct fetch_request *request);

/* Before the transfer starts, also once more. 0 or -ENOMEM. */
int fetch_set_connection(struct fetch *fetch);

/* For CURLOPT_HEADERFUNCTION, CURLOPT_WRITEFUNCTION and CURLOPT_DEBUGFUNCTION, with the fetch as their data. */
size_t fetch_on_header(char *bytes, size_t size, size_t n, void *fetch);
size_t fetch_on_body(char *bytes, size_t size, size_t n, void *fetch);
int fetch_on_debug(CURL *easy, curl_infotype type, char *text, size_t len, void *fetch);

#endif
