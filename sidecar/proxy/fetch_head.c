/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a response: status line, headers, folded ones, what delimits the body, redirects. */
#include "fetch_state.h"

#include "excerpt.h"
#include "redirect.h"

#include "service/base/alloc_reserve.h"

#include <errno.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

enum {
    /* Go's client takes 1 MiB, nginx 8 KiB. */
    HEAD_MAX = 64 * 1024,
    /* Redirects followed in a row: a trailing slash is one, a renamed path another. */
    REDIRECTS_MAX = 3,
};

enum fetch_action
fetch_refuse(struct fetch *f, const char *why)
{
    f->refusal = why;
    return FETCH_ABORT;
}

static enum fetch_action
refuse_for_memory(struct fetch *f)
{
    f->no_memory = true;
    return fetch_refuse(f, "out of memory for the response header");
}

/* The reason quotes the beginning of the bytes. */
static enum fetch_action
refuse_bytes(struct fetch *f, const char *what, struct ss_span bytes, const char *why)
{
    char shown[100];
    excerpt(shown, sizeof(shown), bytes);
    snprintf(f->reason, sizeof(f->reason), "%s \"%s\" %s", what, shown, why);
    return fetch_refuse(f, f->reason);
}

/* Stricter than libcurl: two lengths, or a length and chunks, are how responses are smuggled. */
static enum fetch_action
check_framing(struct fetch *f, const char *name, const char *value)
{
    if (!strcasecmp(name, "Transfer-Encoding")) {
        if (strcasecmp(value, "chunked") != 0 || f->framing == FRAMING_CHUNKED)
            return fetch_refuse(f, "unsupported Transfer-Encoding, expected chunked");
        if (f->framing == FRAMING_LENGTH)
            return fetch_refuse(f, "it has both a Content-Length and a Transfer-Encoding");
        f->framing = FRAMING_CHUNKED;
    } else if (!strcasecmp(name, "Content-Length")) {
        if (f->framing == FRAMING_CHUNKED)
            return fetch_refuse(f, "it has both a Content-Length and a Transfer-Encoding");
        if (!*value || strspn(value, "0123456789") != strlen(value) || strlen(value) >= sizeof(f->length))
            return fetch_refuse(f, "invalid Content-Length");
        if (f->framing == FRAMING_LENGTH && strcmp(f->length, value) != 0)
            return fetch_refuse(f, "it has two different Content-Lengths");
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
        return fetch_refuse(f, "a second status line in its header");
    evhttp_clear_headers(&f->headers);
    f->framing = FRAMING_CLOSE;
    const char *blank = strchr(line, ' ');
    f->status = blank ? atoi(blank + 1) : 0;
    if (f->status < 100 || f->status > 599)
        return fetch_refuse(f, "invalid HTTP status");
    if (f->status == 101)
        return fetch_refuse(f, "it switches to another protocol");
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
    return fetch_refuse(f, f->reason);
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

/* Nothing in it is used, but libcurl keeps all of them, and 7.88 joins folded ones in a time that is quadratic. */
static enum fetch_action
take_trailer(struct fetch *f)
{
    if (f->chunks.place == CHUNKS_INVALID)
        return FETCH_ABORT; /* they were to be the body */
    if (f->head_bytes > HEAD_MAX)
        return fetch_refuse(f, "its header and trailers are larger than 64 KiB");
    return FETCH_CONTINUE;
}

size_t
fetch_on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct fetch *f = ctx;
    size_t len = size * n;

    f->head_bytes += len;
    if (f->head_done)
        return take_trailer(f) == FETCH_ABORT ? 0 : len;
    f->last_line_rejected = false;
    enum fetch_action action = f->head_bytes > HEAD_MAX ? fetch_refuse(f, "its header is larger than 64 KiB")
                                                        : take_line(f, (struct ss_span){bytes, len});
    return action == FETCH_ABORT ? 0 : len;
}
