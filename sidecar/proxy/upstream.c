/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent's loop. libcurl says which sockets to watch (watch_socket) and when to wake it
 * (set_timer); the loop tells it what happened (on_socket, on_timer); what has ended is collected after each turn.
 */
#include "upstream.h"

#include <scrapeshard/version.h>

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    /* What one read of a socket may bring. */
    READ_BYTES = 128 * 1024,
    /* The most of a head; Go's client takes 1 MiB, nginx 8 KiB. */
    HEAD_MOST = 64 * 1024,
    /* A service is asked over so many connections at once at the most; further scrapes wait for one. */
    HOST_CONNECTIONS = 8,
    /* How long an idle connection is used again: longer than any usual scrape interval. */
    IDLE_SECONDS = 330,
};

struct upstream {
    struct event_base *base;
    struct event *timer;
    CURLM *multi;
};

/* How the length of an answer's body is told. */
enum framing { FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_CHUNKED };

struct fetch {
    struct upstream *upstream;
    const struct fetch_events *events;
    void *ctx;
    CURL *easy;
    struct curl_slist *request_headers;
    bool plain; /* http over TCP or a unix socket: what stands behind the body can be looked at */

    int status;
    struct evkeyvalq headers;
    size_t head_bytes;
    bool head_done;
    enum framing framing;
    char length[24]; /* the first Content-Length */
    bool excess;     /* bytes stood behind the body */

    const char *refusal; /* why we stopped, or NULL */
    char error[CURL_ERROR_SIZE];
};

/* The loop. */

static void collect_ended(struct upstream *u);

static void
on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int running, action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(u->multi, fd, action, &running);
    collect_ended(u);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int running;
    (void)fd, (void)what;
    curl_multi_socket_action(u->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_ended(u);
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct upstream *u = ctx;
    struct event *event = socket_ctx;

    (void)easy;
    if (event)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        short events =
            (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
        event = event_new(u->base, fd, events, on_socket, u);
        if (!event || event_add(event, NULL))
            return -1;
    }
    curl_multi_assign(u->multi, fd, event);
    return 0;
}

static int
set_timer(CURLM *multi, long ms, void *ctx)
{
    struct upstream *u = ctx;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    (void)multi;
    return ms < 0 ? event_del(u->timer) : event_add(u->timer, &tv);
}

int
upstream_new(struct upstream **upstreamp, struct event_base *base)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->base = base;
    u->timer = evtimer_new(base, on_timer, u);
    u->multi = curl_multi_init();
    if (!u->timer || !u->multi) {
        upstream_free(u);
        return -ENOMEM;
    }
    curl_multi_setopt(u->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(u->multi, CURLMOPT_SOCKETDATA, u);
    curl_multi_setopt(u->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(u->multi, CURLMOPT_TIMERDATA, u);
    curl_multi_setopt(u->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS);
    *upstreamp = u;
    return 0;
}

void
upstream_free(struct upstream *u)
{
    if (!u)
        return;
    if (u->multi)
        curl_multi_cleanup(u->multi);
    if (u->timer)
        event_free(u->timer);
    free(u);
}

/* The head. */

static enum fetch_pace
refuse(struct fetch *f, const char *why)
{
    f->refusal = why;
    return FETCH_STOP;
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
        return FETCH_ON; /* libcurl has looked at it, and refused what is worse */
    *value++ = 0;
    value += strspn(value, " \t");
    if (evhttp_add_header(&f->headers, line, value))
        return FETCH_ON; /* a folded line of a kind that cannot be passed on */
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
        pace = refuse(f, "there is no memory for its head");
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
    switch (f->events->body(f->ctx, (struct ss_span){bytes, size * n})) {
    case FETCH_ON:
        return size * n;
    case FETCH_PAUSE:
        return CURL_WRITEFUNC_PAUSE;
    default:
        return 0;
    }
}

/* libcurl drops what stands behind the told length and says so only here. */
static int
on_debug(CURL *easy, curl_infotype type, char *text, size_t len, void *ctx)
{
    static const char excess[] = "Excess found";
    struct fetch *f = ctx;
    (void)easy;
    if (type == CURLINFO_TEXT && len > sizeof(excess) && !memcmp(text, excess, sizeof(excess) - 1))
        f->excess = true;
    return 0;
}

/* Whether more came than the length told: read already, or still to be read. Then the length was a lie, the body cut.
 */
static bool
has_excess(struct fetch *f)
{
    curl_socket_t fd;
    char byte;

    if (f->framing != FRAMING_LENGTH)
        return false;
    if (f->excess)
        return true;
    return f->plain && !curl_easy_getinfo(f->easy, CURLINFO_ACTIVESOCKET, &fd) && fd != CURL_SOCKET_BAD &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Whether a status never has a body, so that nothing need prove its end. */
static bool
is_bodiless(int status)
{
    return status == 204 || status == 304;
}

static void
tell_end(struct fetch *f, CURLcode code)
{
    enum fetch_result result = FETCH_FAILED;
    const char *reason = f->refusal;

    if (code == CURLE_OPERATION_TIMEDOUT)
        result = FETCH_TIMED_OUT;
    else if (code == CURLE_OK && has_excess(f))
        reason = "it is longer than its Content-Length";
    else if (code == CURLE_OK)
        result = f->framing == FRAMING_CLOSE && !is_bodiless(f->status) ? FETCH_CLOSED : FETCH_WHOLE;
    if (!reason)
        reason = *f->error ? f->error : curl_easy_strerror(code);
    f->events->end(f->ctx, result, reason);
}

static void
collect_ended(struct upstream *u)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(u->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        struct fetch *f;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &f);
        tell_end(f, code);
    }
}

/* The request. */

static bool
add_request_header(struct fetch *f, const char *line)
{
    struct curl_slist *list = line ? curl_slist_append(f->request_headers, line) : NULL;
    if (list)
        f->request_headers = list;
    return list;
}

static bool
add_request_headers(struct fetch *f, const struct evkeyvalq *headers)
{
    const struct evkeyval *h;
    bool accept = false, agent = false;

    TAILQ_FOREACH (h, headers, next) {
        char *line;
        /* libcurl takes "Name:" for "leave it out" and "Name;" for one without a value. */
        if (asprintf(&line, *h->value ? "%s: %s" : "%s;", h->key, h->value) < 0)
            line = NULL;
        bool added = add_request_header(f, line);
        free(line);
        if (!added)
            return false;
        accept |= !strcasecmp(h->key, "Accept");
        agent |= !strcasecmp(h->key, "User-Agent");
    }
    /* On loopback, compression would only cost the service its CPU. */
    return add_request_header(f, "Accept-Encoding: identity") && (accept || add_request_header(f, "Accept:")) &&
           (agent || add_request_header(f, "User-Agent: scrapeshard/" SS_VERSION));
}

static bool
set_options(struct fetch *f, const struct fetch_request *request)
{
    CURL *e = f->easy;
    CURLcode r = CURLE_OK;
#define SET(option, value) r = r ? r : curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_UNIX_SOCKET_PATH, request->socket);
    SET(CURLOPT_HTTPHEADER, f->request_headers);
    SET(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    /* Nothing of the Pod's environment decides where we go, and nothing of the service's. */
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_SECONDS);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BYTES);
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
    return !r;
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
    f->plain = strncmp(request->url, "https:", 6) != 0;
    f->easy = curl_easy_init();
    if (!f->easy || !add_request_headers(f, request->headers) || !set_options(f, request) ||
        curl_multi_add_handle(upstream->multi, f->easy)) {
        fetch_free(f);
        return -ENOMEM;
    }
    *fetchp = f;
    return 0;
}

void
fetch_resume(struct fetch *f)
{
    curl_easy_pause(f->easy, CURLPAUSE_CONT);
}

void
fetch_free(struct fetch *f)
{
    if (!f)
        return;
    if (f->easy) {
        curl_multi_remove_handle(f->upstream->multi, f->easy);
        curl_easy_cleanup(f->easy);
    }
    curl_slist_free_all(f->request_headers);
    evhttp_clear_headers(&f->headers);
    free(f);
}
