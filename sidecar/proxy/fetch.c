/* SPDX-License-Identifier: Apache-2.0 */
/* In the order of time, but for the beginning, which stands last: the head, the body, the end. */
#include "fetch.h"

#include "upstream.h"

#include "../service/memory.h"
#include "../service/secrets.h"

#include <scrapeshard/version.h>

#include <curl/curl.h>
#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    /* What one read of a socket may bring: as much as is still in the second cache when it is split. Twice as much took
       a third more CPU, half as much a tenth (tests/bench). */
    READ_BYTES = 64 * 1024,
    /* The most of a head; Go's client takes 1 MiB, nginx 8 KiB. */
    HEAD_MOST = 64 * 1024,
    /* How long an idle connection is used again: longer than any usual scrape interval. */
    IDLE_SECONDS = 330,
    /* How long authorities are kept that were read: what had no memory is not to last, nor what was replaced. */
    CA_SECONDS = 60,
};

/* How the length of an answer's body is told. */
enum framing { FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_CHUNKED };

struct fetch {
    struct upstream *upstream;
    const struct fetch_events *events;
    void *ctx;
    CURL *easy;
    struct curl_slist *request_headers, *connect_to;
    bool watchable; /* TCP without TLS: what stands behind the body can be seen, and the socket be told from others */
    bool asked;     /* the request is being sent */

    int status;
    struct evkeyvalq headers;
    size_t head_bytes;
    bool head_done;
    enum framing framing;
    char length[19]; /* the first Content-Length: what libcurl counts in 63 bits */
    bool excess;     /* bytes stood behind the body's told length */
    bool stray;      /* bytes stood behind its last chunk */
    bool cut;        /* over TLS: no close_notify has come */
    bool paused;

    uint64_t failures;   /* memory_failures_of_curl() at the beginning */
    bool no_memory;      /* for its head */
    const char *refusal; /* why we stopped, or NULL */
    char error[CURL_ERROR_SIZE];
};

/* The head. */

static enum fetch_pace
refuse(struct fetch *f, const char *why)
{
    f->refusal = why;
    return FETCH_STOP;
}

static enum fetch_pace
refuse_for_memory(struct fetch *f)
{
    f->no_memory = true;
    return refuse(f, "there is no memory for its head");
}

/* What libcurl lets pass and we do not: two lengths, or a length and chunks, are how answers are smuggled. */
static enum fetch_pace
check_framing(struct fetch *f, const char *name, const char *value)
{
    if (!strcasecmp(name, "Transfer-Encoding")) {
        if (strcasecmp(value, "chunked") != 0 || f->framing == FRAMING_CHUNKED)
            return refuse(f, "its Transfer-Encoding is not chunked alone");
        if (f->framing == FRAMING_LENGTH)
            return refuse(f, "it has both a Content-Length and a Transfer-Encoding");
        f->framing = FRAMING_CHUNKED;
    } else if (!strcasecmp(name, "Content-Length")) {
        if (f->framing == FRAMING_CHUNKED)
            return refuse(f, "it has both a Content-Length and a Transfer-Encoding");
        if (!*value || strspn(value, "0123456789") != strlen(value) || strlen(value) >= sizeof(f->length))
            return refuse(f, "its Content-Length is no length");
        if (f->framing == FRAMING_LENGTH && strcmp(f->length, value) != 0)
            return refuse(f, "it has two Content-Lengths that differ");
        f->framing = FRAMING_LENGTH;
        strcpy(f->length, value);
    }
    return FETCH_ON;
}

/* "HTTP/1.1 200 OK": a head begins, perhaps behind one of an informational answer. */
static enum fetch_pace
begin_head(struct fetch *f, const char *line)
{
    if (f->status >= 200)
        return refuse(f, "a second head follows its head");
    evhttp_clear_headers(&f->headers);
    f->framing = FRAMING_CLOSE;
    const char *blank = strchr(line, ' ');
    f->status = blank ? atoi(blank + 1) : 0;
    if (f->status < 100 || f->status > 599)
        return refuse(f, "its status is no HTTP status");
    if (f->status == 101)
        return refuse(f, "it changes to another protocol");
    return FETCH_ON;
}

static enum fetch_pace
take_header_line(struct fetch *f, char *line)
{
    if (!strncmp(line, "HTTP/", 5))
        return begin_head(f, line);
    if (!*line) {
        if (f->status < 200)
            return FETCH_ON;
        f->head_done = true;
        return f->events->head(f->ctx, f->status, &f->headers);
    }
    char *value = strchr(line, ':');
    if (!value)
        return refuse(f, "a header of it cannot be read");
    *value++ = 0;
    value += strspn(value, " \t");
    uint64_t failures = memory_failures();
    if (evhttp_add_header(&f->headers, line, value))
        return memory_failures() > failures ? refuse_for_memory(f) : refuse(f, "a header of it cannot be read");
    return check_framing(f, line, value);
}

static size_t
on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    size_t len = size * n, kept = len;
    char line[4096], *text = line;
    enum fetch_pace pace = FETCH_ON;

    if (f->head_done)
        return len; /* a trailer */
    f->head_bytes += len;
    if (f->head_bytes > HEAD_MOST)
        pace = refuse(f, "its head is larger than 64 KiB");
    while (kept && strchr(" \t\r\n", bytes[kept - 1]))
        kept--;
    if (kept >= sizeof(line))
        text = malloc(kept + 1);
    if (!text)
        pace = refuse_for_memory(f);
    if (pace == FETCH_ON) {
        memcpy(text, bytes, kept);
        text[kept] = 0;
        pace = take_header_line(f, text);
    }
    if (text != line)
        free(text);
    return pace == FETCH_STOP ? 0 : len;
}

/* The body and the end. */

static size_t
on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    if (!f->head_done) {
        refuse(f, "it has a body without a head");
        return 0;
    }
    switch (f->events->body(f->ctx, (struct ss_span){bytes, size * n})) {
    case FETCH_ON:
        return size * n;
    case FETCH_PAUSE:
        f->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    default:
        return 0;
    }
}

static bool
begins_with(const char *text, size_t len, const char *beginning)
{
    return len >= strlen(beginning) && !memcmp(text, beginning, strlen(beginning));
}

/* libcurl drops what stands behind the told length, or the last chunk, and says so only here. */
static int
on_debug(CURL *easy, curl_infotype type, char *text, size_t len, void *ctx)
{
    struct fetch *f = ctx;
    (void)easy;
    if (type == CURLINFO_TEXT) {
        f->excess |= begins_with(text, len, "Excess found");
        f->stray |= begins_with(text, len, "Leftovers after chunking");
    }
    return 0;
}

/* Whether a status never has a body, so that nothing need prove its end. */
static bool
is_bodiless(int status)
{
    return status == 204 || status == 304;
}

/* The socket is free: at this moment, between this transfer and the next on the same connection, whatever there is to
   be read stood behind the body. What comes later is cleared away before the connection is used again. */
static void
fetch_freed(void *owner, curl_socket_t fd)
{
    struct fetch *f = owner;
    if (!f->watchable)
        return;
    f->excess |= upstream_clear_socket(fd);
    if (f->stray)
        shutdown(fd, SHUT_RDWR); /* who spoke out of turn is not asked again */
}

/* How a fetch failed, by what libcurl says of it. */
static enum fetch_result
failure(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return FETCH_UNREACHABLE;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return FETCH_BROKEN;
    default:
        return FETCH_FAILED;
    }
}

static bool
lacked_memory(const struct fetch *f, CURLcode code)
{
    return f->no_memory || (code == CURLE_OUT_OF_MEMORY && (!f->asked || memory_failures_of_curl() > f->failures));
}

static void
fetch_ended(void *owner, CURLcode code)
{
    struct fetch *f = owner;
    enum fetch_result result = lacked_memory(f, code) ? FETCH_NO_MEMORY : f->refusal ? FETCH_FAILED : failure(code);
    const char *reason = f->refusal;
    bool by_close = f->framing == FRAMING_CLOSE && !is_bodiless(f->status);

    if (result != FETCH_NO_MEMORY && !f->head_done && (code == CURLE_OK || code == CURLE_OUT_OF_MEMORY)) {
        reason = code ? "its head is larger than 64 KiB" : "its head was cut";
    } else if (code == CURLE_OK && f->excess && f->framing != FRAMING_CHUNKED) { /* only a last chunk proves itself */
        reason = f->framing == FRAMING_LENGTH ? "it is longer than its Content-Length" : "bytes of it were left unread";
    } else if (code == CURLE_OK && by_close && f->cut) {
        result = FETCH_BROKEN;
        reason = "the connection ended without TLS' close_notify, so it may have been cut (strict_close)";
    } else if (code == CURLE_OK) {
        result = by_close ? FETCH_CLOSED : FETCH_WHOLE;
    }
    if (!reason)
        reason = *f->error ? f->error : curl_easy_strerror(code);
    f->events->end(f->ctx, result, reason);
}

const struct upstream_hooks fetch_hooks = {fetch_freed, fetch_ended};

/* The request. */

static bool
add_request_header(struct fetch *f, const char *line)
{
    struct curl_slist *list = line ? curl_slist_append(f->request_headers, line) : NULL;
    if (list)
        f->request_headers = list;
    return list;
}

/* The Host header, where the URL does not say it, and the address that the URL's host stands for. */
static bool
rename_host(struct fetch *f, const struct fetch_request *request)
{
    char *line;
    if (!request->connect_to)
        return true;
    f->connect_to = curl_slist_append(NULL, request->connect_to);
    if (asprintf(&line, "Host: %s", request->host) < 0)
        line = NULL;
    bool added = add_request_header(f, line);
    free(line);
    return added && f->connect_to;
}

/* Not by asprintf(3), which leaves copies behind: the value may be a credential. libcurl takes "Name:" for "leave it
   out" and "Name;" for one without a value. For secret_free(); NULL for want of memory. */
static char *
header_line(const struct evkeyval *h)
{
    size_t size = strlen(h->key) + strlen(": ") + strlen(h->value) + 1;
    char *line = malloc(size);
    if (line)
        snprintf(line, size, *h->value ? "%s: %s" : "%s;", h->key, h->value);
    return line;
}

static bool
add_request_headers(struct fetch *f, const struct fetch_request *request)
{
    const struct evkeyval *h;
    bool accept = false, agent = false;

    TAILQ_FOREACH (h, request->headers, next) {
        char *line = header_line(h);
        bool added = add_request_header(f, line);
        secret_free(line);
        if (!added)
            return false;
        accept |= !strcasecmp(h->key, "Accept");
        agent |= !strcasecmp(h->key, "User-Agent");
    }
    return add_request_header(f, request->gzip ? "Accept-Encoding: gzip" : "Accept-Encoding: identity") &&
           (accept || add_request_header(f, "Accept:")) &&
           (agent || add_request_header(f, "User-Agent: scrapeshard/" SS_VERSION));
}

static int
before_request(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct fetch *f = ctx;
    (void)local_ip;
    f->asked = true;
    f->excess = f->stray = false; /* of a connection that was dead, and had this request before */
    if (f->watchable && !upstream_use(f->upstream, f, &(struct upstream_ends){ip, port, local_port}))
        curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
    return CURL_PREREQFUNC_OK;
}

/* libcurl takes any end of a connection for one that the service wanted; only OpenSSL hears whether it said so. */
static void
on_tls(const SSL *ssl, int what, int alert)
{
    struct fetch *f = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (what == SSL_CB_READ_ALERT && (alert & 0xff) == SSL_AD_CLOSE_NOTIFY)
        f->cut = false;
}

static CURLcode
watch_tls(CURL *easy, void *tls, void *ctx)
{
    struct fetch *f = ctx;
    (void)easy;
    f->cut = true;
    SSL_CTX_set_app_data(tls, f);
    SSL_CTX_set_info_callback(tls, on_tls);
    return CURLE_OK;
}

static bool
set_tls_options(struct fetch *f, const struct fetch_tls *tls)
{
    CURL *e = f->easy;
    CURLcode r = curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!r && !tls->any_end)
        r = curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, watch_tls);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, f);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_SECONDS);
    if (!r && tls->ca)
        r = curl_easy_setopt(e, CURLOPT_CAINFO, tls->ca);
    if (!r && tls->certificate)
        r = curl_easy_setopt(e, CURLOPT_SSLCERT, tls->certificate);
    if (!r && tls->key)
        r = curl_easy_setopt(e, CURLOPT_SSLKEY, tls->key);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, (long)!tls->insecure);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
    return !r;
}

static bool
set_options(struct fetch *f, const struct fetch_request *request)
{
    CURL *e = f->easy;
    CURLcode r = CURLE_OK;
#define SET(option, value) r = r ? r : curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_UNIX_SOCKET_PATH, request->socket);
    SET(CURLOPT_HTTPHEADER, f->request_headers);
    SET(CURLOPT_CONNECT_TO, f->connect_to);
    SET(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    /* Nothing of the Pod's environment decides where we go, and nothing of the service's. */
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_SECONDS);
    /* What stands behind an answer must never become the next one. Of a connection over TCP that is looked after; a
       unix socket has no port to be known by, and what TLS has read ahead cannot be seen. */
    SET(CURLOPT_FORBID_REUSE, (long)!f->watchable);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BYTES);
    SET(CURLOPT_SOCKOPTFUNCTION, upstream_open_socket);
    SET(CURLOPT_SOCKOPTDATA, f->upstream);
    SET(CURLOPT_CLOSESOCKETFUNCTION, upstream_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, f->upstream);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, f);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, f);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_DEBUGFUNCTION, on_debug);
    SET(CURLOPT_DEBUGDATA, f);
    SET(CURLOPT_ERRORBUFFER, f->error);
    SET(CURLOPT_PRIVATE, f);
#undef SET
    return !r && set_tls_options(f, &request->tls);
}

int
fetch_new(struct fetch **fetchp, struct upstream *upstream, const struct fetch_request *request,
          const struct fetch_events *events, void *ctx)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    TAILQ_INIT(&f->headers);
    f->upstream = upstream;
    f->events = events;
    f->ctx = ctx;
    f->failures = memory_failures_of_curl();
    f->watchable = !request->socket && strncmp(request->url, "https:", 6) != 0;
    f->easy = curl_easy_init();
    if (!f->easy || !add_request_headers(f, request) || !rename_host(f, request) || !set_options(f, request) ||
        upstream_add(upstream, f->easy)) {
        fetch_free(f);
        return -ENOMEM;
    }
    *fetchp = f;
    return 0;
}

enum fetch_progress
fetch_progress(const struct fetch *f)
{
    return !f ? FETCH_WAITS : f->asked ? FETCH_ASKED : FETCH_CONNECTS;
}

bool
fetch_resume(struct fetch *f)
{
    f->paused = false;
    return !curl_easy_pause(f->easy, CURLPAUSE_CONT);
}

void
fetch_free(struct fetch *f)
{
    if (!f)
        return;
    if (f->easy) {
        upstream_remove(f->upstream, f->easy);
        curl_easy_cleanup(f->easy);
    }
    curl_slist_free_all(f->request_headers);
    curl_slist_free_all(f->connect_to);
    evhttp_clear_headers(&f->headers);
    free(f);
}
