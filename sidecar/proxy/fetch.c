/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a fetch: its body and its end, then its start. Its header is fetch_head.c's, its request
   fetch_request.c's. */
#include "fetch_state.h"

#include "excerpt.h"
#include "tls_pool.h"

#include "service/base/alloc_reserve.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    /* How much of a redirect's body is read to reuse its connection. */
    REDIRECT_BODY_MAX = 64 * 1024,
};

/* The body and the end. */

/*
 * libcurl passes on what it has read in pieces of 16 KiB. The listener takes all that has been read with the first of
 * them, and nothing with the others: fewer bytes at once cost more (tests/bench). After a pause libcurl offers the same
 * bytes again, perhaps in other pieces.
 */
static size_t
give_body(struct fetch *f, struct ss_span piece)
{
    struct ss_span bytes = piece.ptr == f->read.ptr && f->read.len > piece.len ? f->read : piece;
    size_t again = f->taken < bytes.len ? f->taken : bytes.len;
    struct ss_span rest = {bytes.ptr + again, bytes.len - again};
    switch (f->events->body(f->ctx, &rest)) {
    case FETCH_CONTINUE:
        f->taken += bytes.len - again - piece.len;
        return piece.len;
    case FETCH_PAUSE:
        f->taken += bytes.len - again - rest.len;
        return CURL_WRITEFUNC_PAUSE;
    default:
        return 0;
    }
}

size_t
fetch_on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    if (!f->head_done) {
        fetch_refuse(f, "it has a body without a header");
        return 0;
    }
    if (f->chunks.place == CHUNKS_INVALID)
        return 0;
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

/* libcurl is about to pass on what belongs to the body, and to drop what follows its length: what it has read, and
   (8.14) what it reads while it closes the connection, before fetch_released() could look. */
static void
split_at_length(struct fetch *f, struct ss_span read)
{
    uint64_t expected = strtoull(f->length, NULL, 10), left = expected > f->data_in ? expected - f->data_in : 0;
    f->data_in += read.len;
    if (left < read.len)
        f->extra_kind = unsolicited_kind(read.ptr + left, read.len - (size_t)left);
    if (left <= read.len)
        note_extra_body(f, upstream_sockets_drain(upstream_sockets(f->upstream), f));
    f->read = (struct ss_span){read.ptr, left < read.len ? (size_t)left : read.len};
}

static void
on_read(struct fetch *f, struct ss_span read)
{
    f->read = (struct ss_span){NULL, 0};
    switch (f->framing) {
    case FRAMING_CLOSE:
        f->read = read;
        break;
    case FRAMING_LENGTH:
        split_at_length(f, read);
        break;
    case FRAMING_CHUNKED:
        chunk_sizes_take(&f->chunks, read);
        break;
    }
}

/* libcurl drops what follows the body's length, a chunk's size or the last chunk, and reports it only here; it does not
   pass on a header that it cannot read either. tests/unit/test-libcurl.c checks the installed libcurl's wording. */
int
fetch_on_debug(CURL *easy, curl_infotype type, char *text, size_t len, void *ctx)
{
    struct fetch *f = ctx;
    (void)easy;
    if (type == CURLINFO_HEADER_IN && !f->head_done) {
        f->last_line_len = len < sizeof(f->last_line) ? len : sizeof(f->last_line);
        memcpy(f->last_line, text, f->last_line_len);
        f->last_line_rejected = true;
    } else if (type == CURLINFO_DATA_IN && f->head_done) {
        on_read(f, (struct ss_span){text, len});
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
static bool
fetch_released(void *owner, enum unsolicited kind)
{
    struct fetch *f = owner;
    note_extra_body(f, kind);
    return !f->trailing_bytes && f->chunks.place != CHUNKS_INVALID; /* or it is out of step */
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
    f->added = !fetch_set_connection(f) && !upstream_add(f->upstream, f->easy);
    if (!f->added)
        upstream_sockets_release(upstream_sockets(f->upstream), f, false);
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
    f->chunks = (struct chunk_sizes){.place = CHUNK_SIZE};
    f->extra_kind = UNSOLICITED_NONE;
    f->destination.found = false; /* libcurl may have forgotten the addresses since */
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
    } else if (result != FETCH_NO_MEMORY && !reason && f->chunks.place == CHUNKS_INVALID) {
        result = FETCH_FAILED;
        reason = "invalid chunk size";
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

/* The TLS session that was offered may be what the upstream failed on. */
static void
start_without_session(struct fetch *f)
{
    f->failed_to_connect = true;
    stop(f);
    *f->error = 0;
    if (!start(f)) {
        f->no_memory = true;
        end(f, CURLE_OUT_OF_MEMORY);
    }
}

static void
fetch_ended(void *owner, CURLcode code)
{
    struct fetch *f = owner;
    if (code && destination_needs_lookup(&f->destination))
        start_lookup(f);
    else if (code == CURLE_SSL_CONNECT_ERROR && f->resumes && tls_pool_has_session(f->tls_settings))
        start_without_session(f);
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

/* The start. */

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
    event_assign(&f->resumed, upstream_base(upstream), -1, 0, on_resume_failed, f);
    f->easy = curl_easy_init();
    if (!f->easy || fetch_set_request(f, request) || !start(f)) {
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
    SSL_CTX_free(f->tls_settings);
    destination_deinit(&f->destination);
    curl_slist_free_all(f->request_headers);
    curl_slist_free_all(f->connect_to);
    curl_slist_free_all(f->redirected);
    free(f->host);
    free(f->socket);
    free(f->target);
    free(f->line);
    evhttp_clear_headers(&f->headers);
    free(f);
}
