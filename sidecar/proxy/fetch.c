/* SPDX-License-Identifier: Apache-2.0 */
/* In the order of time, except that the start comes last: head, body, end. */
#include "fetch.h"

#include "close_notify.h"
#include "destination.h"
#include "excerpt.h"
#include "redirect.h"
#include "upstream.h"

#include "service/access/secrets.h"
#include "service/access/upstream_tls.h"
#include "service/base/alloc_reserve.h"

#include <scrapeshard/version.h>

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
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
    /* Size of one read of a socket: as much as stays in the L2 cache until it is split. Twice as much took a third more
       CPU, half as much a tenth (tests/bench). */
    READ_BYTES = 64 * 1024,
    /* Go's client takes 1 MiB, nginx 8 KiB. */
    HEAD_MAX = 64 * 1024,
    /* Redirects followed in a row: a trailing slash is one, a renamed path another. */
    REDIRECTS_MAX = 3,
    /* How much of a redirect's body is read to reuse its connection. */
    REDIRECT_BODY_MAX = 64 * 1024,
    /* How long libcurl caches the system's authorities: neither a failed allocation nor a replaced file may last
       longer. */
    CA_SECONDS = 60,
};

/* What delimits a response's body. */
enum framing { FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_CHUNKED };

struct fetch {
    struct upstream *upstream;
    const struct fetch_events *events;
    void *ctx;
    CURL *easy;
    struct curl_slist *request_headers, *connect_to;
    char *host; /* the Host header, if not the URL's */
    struct destination destination;
    bool added; /* easy is in the upstream's multi handle */
    int64_t keepalive;
    bool can_inspect_socket; /* TCP without TLS: bytes after the body can be seen, and the socket be identified */
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
    bool trailing_bytes;         /* bytes came after its last chunk */
    SSL_CTX *tls_files;          /* a reference, or NULL */
    bool allow_missing_close_notify;
    struct close_notify close_notify; /* over TLS */
    size_t taken;                     /* of the bytes that libcurl offers again after a pause */
    struct event resumed;             /* a resume that failed; without an allocation that could fail, too */
    CURLcode resume_error;

    uint64_t failures;   /* alloc_failures_of_curl() at the start */
    bool no_memory;      /* for the response header */
    const char *refusal; /* why we aborted, or NULL */
    bool is_redirect;    /* the refusal is of a redirect */
    char reason[300];    /* a refusal that quotes the response */
    char error[CURL_ERROR_SIZE];
};

/* The head. */

static enum fetch_action
refuse(struct fetch *f, const char *why)
{
    f->refusal = why;
    return FETCH_ABORT;
}

static enum fetch_action
refuse_for_memory(struct fetch *f)
{
    f->no_memory = true;
    return refuse(f, "out of memory for the response header");
}

/* The reason quotes the beginning of the bytes. */
static enum fetch_action
refuse_bytes(struct fetch *f, const char *what, struct ss_span bytes, const char *why)
{
    char shown[100];
    excerpt(shown, sizeof(shown), bytes);
    snprintf(f->reason, sizeof(f->reason), "%s \"%s\" %s", what, shown, why);
    return refuse(f, f->reason);
}

/* Stricter than libcurl: two lengths, or a length and chunks, are how responses are smuggled. */
static enum fetch_action
check_framing(struct fetch *f, const char *name, const char *value)
{
    if (!strcasecmp(name, "Transfer-Encoding")) {
        if (strcasecmp(value, "chunked") != 0 || f->framing == FRAMING_CHUNKED)
            return refuse(f, "unsupported Transfer-Encoding, expected chunked");
        if (f->framing == FRAMING_LENGTH)
            return refuse(f, "it has both a Content-Length and a Transfer-Encoding");
        f->framing = FRAMING_CHUNKED;
    } else if (!strcasecmp(name, "Content-Length")) {
        if (f->framing == FRAMING_CHUNKED)
            return refuse(f, "it has both a Content-Length and a Transfer-Encoding");
        if (!*value || strspn(value, "0123456789") != strlen(value) || strlen(value) >= sizeof(f->length))
            return refuse(f, "invalid Content-Length");
        if (f->framing == FRAMING_LENGTH && strcmp(f->length, value) != 0)
            return refuse(f, "it has two different Content-Lengths");
        f->framing = FRAMING_LENGTH;
        strcpy(f->length, value);
    }
    return FETCH_CONTINUE;
}

/* "HTTP/1.1 200 OK", perhaps after the head of an informational response. */
static enum fetch_action
begin_head(struct fetch *f, const char *line)
{
    if (f->status >= 200)
        return refuse(f, "a second status line in its header");
    evhttp_clear_headers(&f->headers);
    f->framing = FRAMING_CLOSE;
    const char *blank = strchr(line, ' ');
    f->status = blank ? atoi(blank + 1) : 0;
    if (f->status < 100 || f->status > 599)
        return refuse(f, "invalid HTTP status");
    if (f->status == 101)
        return refuse(f, "it switches to another protocol");
    return FETCH_CONTINUE;
}

/* All lines of this header have come. */
static enum fetch_action
take_header(struct fetch *f)
{
    char *value = f->line ? strchr(f->line, ':') : NULL;
    if (!f->line)
        return FETCH_CONTINUE;
    if (!value)
        return refuse_bytes(f, "its header line", (struct ss_span){f->line, strlen(f->line)},
                            "cannot be read, expected NAME: VALUE");
    *value++ = 0;
    value += strspn(value, " \t");
    uint64_t failures = alloc_failures();
    enum fetch_action action = FETCH_CONTINUE;
    if (!evhttp_add_header(&f->headers, f->line, value))
        action = check_framing(f, f->line, value);
    else if (alloc_failures() > failures)
        action = refuse_for_memory(f);
    else
        action = refuse_bytes(f, "its header", (struct ss_span){f->line, strlen(f->line)}, "contains a CR or LF");
    free(f->line);
    f->line = NULL;
    return action;
}

/* Whether a header delimits the body. */
static bool
is_framing(const char *line)
{
    return !strncasecmp(line, "Content-Length:", 15) || !strncasecmp(line, "Transfer-Encoding:", 18);
}

/* RFC 9112, 5.2: a line that begins with a blank continues the header before it, as if one blank joined them. But
   libcurl 7.88 reads each line by itself, so such a header must not delimit the body. */
static enum fetch_action
unfold(struct fetch *f, struct ss_span more)
{
    char *joined;
    while (more.len && strchr(" \t", *more.ptr))
        more = (struct ss_span){more.ptr + 1, more.len - 1};
    if (!f->line)
        return refuse_bytes(f, "its header line", more, "continues a header, but there is none before it");
    if (is_framing(f->line))
        return refuse_bytes(f, "its header", (struct ss_span){f->line, strcspn(f->line, ":")},
                            "is folded over several lines");
    if (!more.len)
        return FETCH_CONTINUE;
    if (asprintf(&joined, "%s %.*s", f->line, (int)more.len, more.ptr) < 0)
        return refuse_for_memory(f);
    free(f->line);
    f->line = joined;
    return FETCH_CONTINUE;
}

static enum fetch_action
refuse_redirect(struct fetch *f, const char *location, const char *why)
{
    char shown[160] = "nowhere";
    if (location && *location)
        redirect_show(shown, sizeof(shown), location);
    snprintf(f->reason, sizeof(f->reason), "it redirects (status %d) to %s, %s", f->status, shown, why);
    f->is_redirect = true;
    return refuse(f, f->reason);
}

static bool
has_line(const struct curl_slist *list, const char *line)
{
    while (list && strcmp(list->data, line) != 0)
        list = list->next;
    return list;
}

/* Sets the target of a redirect. A scraper must not see one: it would follow it past the sidecar, and take the whole
   body for its shard. */
static enum fetch_action
take_redirect(struct fetch *f)
{
    const char *location = evhttp_find_header(&f->headers, "Location"), *url = NULL;
    if (!redirect_is_status(f->status) || !location || !*location)
        return refuse_redirect(f, location, "expected status 200, or a redirect with a Location");

    struct curl_slist *redirected = NULL;
    if (!curl_easy_getinfo(f->easy, CURLINFO_EFFECTIVE_URL, &url) && url)
        redirected = curl_slist_append(f->redirected, url);
    int r = redirected ? redirect_resolve(&f->target, url, f->host, location) : -ENOMEM;
    if (redirected)
        f->redirected = redirected;
    if (r < 0)
        return refuse_for_memory(f);
    if (r == EXDEV)
        return refuse_redirect(f, location, "expected the same scheme, host and port, and no credentials");
    if (r)
        return refuse_redirect(f, location, "expected a URL");
    if (has_line(f->redirected, f->target))
        return refuse_redirect(f, location, "which was requested before: a redirect loop");
    size_t n = 0;
    for (const struct curl_slist *l = f->redirected; l; l = l->next)
        n++;
    return n > REDIRECTS_MAX ? refuse_redirect(f, location, "after 3 other redirects, expected at most 3")
                             : FETCH_CONTINUE;
}

static bool
is_protobuf(const char *content_type)
{
    static const char protobuf[] = "application/vnd.google.protobuf";
    return content_type && !strncasecmp(content_type, protobuf, strlen(protobuf));
}

static enum fetch_action
end_head(struct fetch *f)
{
    if (f->status < 200)
        return FETCH_CONTINUE;
    f->head_done = true;
    f->blank_counts = is_protobuf(evhttp_find_header(&f->headers, "Content-Type"));
    if (f->status >= 300 && f->status < 400)
        return take_redirect(f);
    return f->events->head(f->ctx, f->status, &f->headers);
}

static enum fetch_action
take_line(struct fetch *f, struct ss_span line)
{
    bool folds = line.len && strchr(" \t", *line.ptr);
    while (line.len && strchr(" \t\r\n", line.ptr[line.len - 1]))
        line.len--;
    if (folds)
        return unfold(f, line);
    enum fetch_action action = take_header(f);
    if (action != FETCH_CONTINUE)
        return action;
    if (!line.len)
        return end_head(f);
    f->line = strndup(line.ptr, line.len);
    if (!f->line)
        return refuse_for_memory(f);
    if (strncmp(f->line, "HTTP/", 5) != 0)
        return FETCH_CONTINUE;
    action = begin_head(f, f->line);
    free(f->line);
    f->line = NULL;
    return action;
}

static size_t
on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    size_t len = size * n;

    if (f->head_done)
        return len; /* a trailer */
    f->head_bytes += len;
    f->last_line_rejected = false;
    enum fetch_action action = f->head_bytes > HEAD_MAX ? refuse(f, "its header is larger than 64 KiB")
                                                        : take_line(f, (struct ss_span){bytes, len});
    return action == FETCH_ABORT ? 0 : len;
}

/* The body and the end. */

/* After a pause libcurl offers the same bytes again, perhaps in other pieces. */
static size_t
give_body(struct fetch *f, struct ss_span bytes)
{
    size_t again = f->taken < bytes.len ? f->taken : bytes.len;
    struct ss_span rest = {bytes.ptr + again, bytes.len - again};
    switch (f->events->body(f->ctx, &rest)) {
    case FETCH_CONTINUE:
        f->taken -= again;
        return bytes.len;
    case FETCH_PAUSE:
        f->taken += bytes.len - again - rest.len;
        return CURL_WRITEFUNC_PAUSE;
    default:
        return 0;
    }
}

static size_t
on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    if (!f->head_done) {
        refuse(f, "it has a body without a header");
        return 0;
    }
    if (f->target) { /* is read only to reuse the connection */
        f->redirect_body += size * n;
        return f->redirect_body <= REDIRECT_BODY_MAX ? size * n : 0;
    }
    return give_body(f, (struct ss_span){bytes, size * n});
}

static bool
begins_with(const char *text, size_t len, const char *beginning)
{
    return len >= strlen(beginning) && !memcmp(text, beginning, strlen(beginning));
}

static void
note_extra_body(struct fetch *f, enum unsolicited kind)
{
    if (kind > f->extra_body)
        f->extra_body = kind;
}

/* libcurl is about to drop what follows the body's length: what it has read, and (8.14) what it reads while it
   closes the connection, before fetch_released() could look. */
static void
inspect_extra_body(struct fetch *f, const char *bytes, size_t len)
{
    uint64_t expected = strtoull(f->length, NULL, 10);
    f->data_in += len;
    if (f->data_in > expected) {
        size_t n = f->data_in - expected < len ? (size_t)(f->data_in - expected) : len;
        f->extra_kind = unsolicited_kind(bytes + len - n, n);
    }
    if (f->data_in >= expected && f->can_inspect_socket)
        note_extra_body(f, upstream_drain_owner(f->upstream, f));
}

/* libcurl drops what follows the body's length or the last chunk, and reports it only here; it does not pass on a
   header that it cannot read either. tests/unit/test-libcurl.c checks the installed libcurl's wording. */
static int
on_debug(CURL *easy, curl_infotype type, char *text, size_t len, void *ctx)
{
    struct fetch *f = ctx;
    (void)easy;
    if (type == CURLINFO_HEADER_IN && !f->head_done) {
        f->last_line_len = len < sizeof(f->last_line) ? len : sizeof(f->last_line);
        memcpy(f->last_line, text, f->last_line_len);
        f->last_line_rejected = true;
    } else if (type == CURLINFO_DATA_IN && f->head_done && f->framing == FRAMING_LENGTH) {
        inspect_extra_body(f, text, len);
    } else if (type == CURLINFO_TEXT) {
        if (begins_with(text, len, LIBCURL_EXTRA_BODY))
            note_extra_body(f, f->extra_kind ? f->extra_kind : UNSOLICITED_DATA);
        f->trailing_bytes |= begins_with(text, len, LIBCURL_TRAILING_BYTES);
    }
    return 0;
}

/* Whether a status never has a body, so that its end needs no proof. */
static bool
is_bodiless(int status)
{
    return status == 204 || status == 304;
}

/* Between this transfer and the next on the connection, whatever can be read followed the body. What comes later is
   drained before the connection is reused. */
static void
fetch_released(void *owner, curl_socket_t fd)
{
    struct fetch *f = owner;
    if (!f->can_inspect_socket)
        return;
    note_extra_body(f, upstream_drain_unsolicited(fd));
    if (f->trailing_bytes)
        shutdown(fd, SHUT_RDWR); /* do not reuse a connection that is out of step */
}

/* libcurl's reason; for a header that it cannot read, with that header. */
static const char *
error_text(struct fetch *f, CURLcode code)
{
    const char *text = *f->error ? f->error : curl_easy_strerror(code);
    char shown[100];
    size_t len = f->last_line_len;
    if (f->head_done || !len || (code != CURLE_WEIRD_SERVER_REPLY && code != CURLE_BAD_FUNCTION_ARGUMENT))
        return text;
    while (len && strchr("\r\n", f->last_line[len - 1]))
        len--;
    excerpt(shown, sizeof(shown), (struct ss_span){f->last_line, len});
    snprintf(f->reason, sizeof(f->reason), "%s \"%s\" cannot be read: %.150s",
             f->last_line_rejected ? "its header line" : "its header line after", shown, text);
    return f->reason;
}

static enum fetch_result
result_of(CURLcode code)
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
        return FETCH_TRUNCATED;
    default:
        return FETCH_FAILED;
    }
}

/*
 * Whether bytes after the body show that it is longer than its length; only a last chunk proves itself. After a length
 * CR and LF do not: in text they would be blank lines, without a sample or metadata, and what precedes them is whole.
 * (Prometheus drops whatever comes there.) In protobuf either may be the length of another message; and when the
 * connection's end delimits the body, they belong to it.
 */
static bool
is_longer(const struct fetch *f)
{
    bool blank_counts = f->framing == FRAMING_CLOSE || f->blank_counts;
    return f->framing != FRAMING_CHUNKED && f->extra_body > (blank_counts ? UNSOLICITED_NONE : UNSOLICITED_BLANK);
}

/* When upstream.c has no memory to watch a socket, libcurl ends all transfers as aborted. */
static bool
lacked_memory(const struct fetch *f, CURLcode code)
{
    return f->no_memory || (code == CURLE_ABORTED_BY_CALLBACK && !f->refusal && !f->destination.unknown) ||
           (code == CURLE_OUT_OF_MEMORY && (!f->request_sent || alloc_failures_of_curl() > f->failures));
}

static bool
start(struct fetch *f)
{
    f->added = !upstream_add(f->upstream, f->easy);
    return f->added;
}

static void
stop(struct fetch *f)
{
    if (f->added)
        upstream_remove(f->upstream, f->easy);
    f->added = false;
}

/* Sends the same request to the redirect's target, however the redirect's own response ended: nothing of it is used.
   False: out of memory. */
static bool
follow_redirect(struct fetch *f)
{
    char *target = f->target;
    f->target = NULL;
    f->redirect_body = 0;
    f->status = 0;
    evhttp_clear_headers(&f->headers);
    f->head_bytes = 0;
    f->head_done = false;
    f->last_line_len = 0;
    f->data_in = 0;
    f->extra_kind = UNSOLICITED_NONE;
    *f->error = 0;
    stop(f);
    bool begun = !curl_easy_setopt(f->easy, CURLOPT_URL, target) && start(f);
    free(target);
    return begun;
}

static void
end(struct fetch *f, CURLcode code)
{
    if (f->target && !f->refusal && !lacked_memory(f, code)) {
        if (follow_redirect(f))
            return;
        f->no_memory = true;
    }
    enum fetch_result result = lacked_memory(f, code) ? FETCH_NO_MEMORY
                               : f->is_redirect       ? FETCH_REDIRECTED
                               : f->refusal           ? FETCH_FAILED
                                                      : result_of(code);
    const char *reason = f->refusal;
    bool by_close = f->framing == FRAMING_CLOSE && !is_bodiless(f->status);

    if (result != FETCH_NO_MEMORY && !f->head_done && (code == CURLE_OK || code == CURLE_OUT_OF_MEMORY)) {
        reason = code ? "its header is larger than 64 KiB" : "its header is truncated";
    } else if (code == CURLE_OK && is_longer(f)) {
        reason = f->framing == FRAMING_LENGTH ? "it is longer than its Content-Length" : "bytes follow its body";
    } else if (code == CURLE_OK && by_close && f->close_notify.missing) {
        result = FETCH_TRUNCATED;
        reason = "the connection ended without a TLS close_notify, so it may be truncated (strict_close)";
    } else if (code == CURLE_OK) {
        result = by_close ? FETCH_CLOSED : FETCH_COMPLETE;
    }
    if (!reason)
        reason = error_text(f, code);
    f->events->end(f->ctx, result, reason);
}

/* The host's addresses. */

static void
end_lookup_failed(struct fetch *f, enum fetch_result result, const char *what, const char *why)
{
    char reason[512];
    snprintf(reason, sizeof(reason), "%s %.255s: %s", what, f->destination.host, why);
    f->events->end(f->ctx, result, reason);
}

static void
start_lookup(struct fetch *f)
{
    stop(f);
    f->request_sent = false; /* it went to a dead connection */
    *f->error = 0;
    int r = destination_look_up(&f->destination, upstream_resolver(f->upstream));
    if (r > 0)
        end_lookup_failed(f, FETCH_UNREACHABLE, "could not look up",
                          "all lookup threads wait for DNS to answer for other names");
    else if (r)
        end_lookup_failed(f, r == -ENOMEM ? FETCH_NO_MEMORY : FETCH_UNREACHABLE, "could not start a thread to look up",
                          strerror(-r));
}

static void
on_addresses(void *ctx, const struct resolver_answer *answer)
{
    struct fetch *f = ctx;
    if (answer->no_memory || (answer->addresses && !start(f)))
        end_lookup_failed(f, FETCH_NO_MEMORY, "could not resolve host", "out of memory");
    else if (!answer->addresses)
        end_lookup_failed(f, FETCH_UNREACHABLE, "could not resolve host", answer->reason);
}

static void
fetch_ended(void *owner, CURLcode code)
{
    struct fetch *f = owner;
    if (code && destination_needs_lookup(&f->destination))
        start_lookup(f);
    else
        end(f, code);
}

static void
on_resume_failed(evutil_socket_t fd, short what, void *ctx)
{
    struct fetch *f = ctx;
    (void)fd, (void)what;
    stop(f);
    end(f, f->resume_error);
}

const struct upstream_hooks fetch_hooks = {fetch_released, fetch_ended};

/* The request. */

static bool
add_request_header(struct fetch *f, const char *line)
{
    struct curl_slist *list = line ? curl_slist_append(f->request_headers, line) : NULL;
    if (list)
        f->request_headers = list;
    return list;
}

/* Connects to another host than the URL's, and sends its name. */
static bool
set_host(struct fetch *f, const struct fetch_request *request)
{
    char *line;
    if (!request->connect_to)
        return true;
    f->connect_to = curl_slist_append(NULL, request->connect_to);
    f->host = strdup(request->host);
    if (asprintf(&line, "Host: %s", request->host) < 0)
        line = NULL;
    bool added = add_request_header(f, line);
    free(line);
    return added && f->host && f->connect_to;
}

/* Not by asprintf(3), which leaves copies in freed memory: the value may be a credential. libcurl takes "Name:" for
   "omit it" and "Name;" for an empty value. For secret_free(); NULL: out of memory. */
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
           (request->keepalive || add_request_header(f, "Connection: close")) &&
           (accept || add_request_header(f, "Accept:")) &&
           (agent || add_request_header(f, "User-Agent: scrapeshard/" SS_VERSION));
}

static int
before_request(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct fetch *f = ctx;
    (void)local_ip;
    f->request_sent = true;
    f->extra_body = UNSOLICITED_NONE; /* of a dead connection that had this request before */
    f->trailing_bytes = false;
    if (f->can_inspect_socket &&
        !upstream_use_connection(f->upstream, f, &(struct tcp_tuple){ip, port, local_port}, f->keepalive))
        curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
    return CURL_PREREQFUNC_OK;
}

static CURLcode
on_tls_context(CURL *easy, void *tls, void *ctx)
{
    struct fetch *f = ctx;
    (void)easy;
    if (upstream_tls_apply(f->tls_files, tls) ||
        (!f->allow_missing_close_notify && close_notify_watch(&f->close_notify, tls)))
        return CURLE_OUT_OF_MEMORY;
    return CURLE_OK;
}

static bool
set_tls_options(struct fetch *f, const struct fetch_tls *tls)
{
    CURL *e = f->easy;
    CURLcode r = curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bool own_ca = upstream_tls_has_authorities(tls->files);
    f->tls_files = tls->files;
    if (f->tls_files)
        SSL_CTX_up_ref(f->tls_files);
    f->allow_missing_close_notify = tls->allow_missing_close_notify;
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, f);
    /* A resumed session's certificate is not verified again, perhaps after other authorities came in force. */
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, own_ca ? 0L : (long)CA_SECONDS);
    /* Debian's libcurl has defaults for both. */
    if (!r && own_ca)
        r = curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    if (!r && own_ca)
        r = curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
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
    /* Neither the Pod's environment nor the upstream decides where we connect. */
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* follow_redirect() does */
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)(f->keepalive / 1000 + 1)); /* upstream.c closes it before */
    /* Bytes after a response must never become the next response. upstream.c sees to that for TCP; a unix socket has
       no port to identify it by, and what TLS has read ahead cannot be seen. */
    SET(CURLOPT_FORBID_REUSE, (long)(!f->can_inspect_socket || !f->keepalive));
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
    f->failures = alloc_failures_of_curl();
    f->keepalive = request->keepalive;
    f->can_inspect_socket = !request->socket && strncmp(request->url, "https:", 6) != 0;
    event_assign(&f->resumed, upstream_base(upstream), -1, 0, on_resume_failed, f);
    f->easy = curl_easy_init();
    if (!f->easy || destination_init(&f->destination, f->easy, request->url, request->connect_to) ||
        !add_request_headers(f, request) || !set_host(f, request) || !set_options(f, request) || !start(f)) {
        fetch_free(f);
        return -ENOMEM;
    }
    f->destination.ready = on_addresses;
    f->destination.ctx = f;
    *fetchp = f;
    return 0;
}

enum fetch_progress
fetch_progress(const struct fetch *f)
{
    if (!f)
        return FETCH_QUEUED;
    return destination_is_resolving(&f->destination) ? FETCH_RESOLVING
           : f->request_sent                         ? FETCH_REQUEST_SENT
                                                     : FETCH_CONNECTING;
}

void
fetch_resume(struct fetch *f)
{
    f->resume_error = curl_easy_pause(f->easy, CURLPAUSE_CONT);
    if (f->resume_error)
        event_active(&f->resumed, EV_TIMEOUT, 0);
}

void
fetch_free(struct fetch *f)
{
    if (!f)
        return;
    event_del(&f->resumed);
    stop(f);
    curl_easy_cleanup(f->easy);
    close_notify_unwatch(&f->close_notify);
    SSL_CTX_free(f->tls_files);
    destination_deinit(&f->destination);
    curl_slist_free_all(f->request_headers);
    curl_slist_free_all(f->connect_to);
    curl_slist_free_all(f->redirected);
    free(f->host);
    free(f->target);
    free(f->line);
    evhttp_clear_headers(&f->headers);
    free(f);
}
