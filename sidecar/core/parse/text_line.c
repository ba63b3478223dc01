/* SPDX-License-Identifier: Apache-2.0 */
/* Handles one line of a text format: what it is, where it goes. Lines are complete here; the only state is what the
   next lines may need: prefixes of the last samples, metadata held back, and the end marker. */
#include "core/text/sample.h"
#include "core/text/strict.h"
#include "text_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
text_fail(struct text *t, enum ss_filter_condition condition, const char *what, struct ss_span line)
{
    struct ss_filter_error *e = t->error;
    e->condition = condition;
    e->offset = t->offset + t->block.lines.len;
    e->line = t->lfs + (t->block.lines.len ? t->block.lfs : 0) + 1;

    int n = snprintf(e->reason, sizeof(e->reason), "%s", what);
    if (line.len && n >= 0) {
        char *out = e->reason + n, *end = e->reason + sizeof(e->reason) - 8;
        out += sprintf(out, ": ");
        for (size_t i = 0; i < line.len && i < 48 && line.ptr[i] != '\n' && out < end; i++) {
            unsigned char c = (unsigned char)line.ptr[i];
            out += sprintf(out, c < 0x20 || c == 0x7f ? "\\x%02x" : "%c", c);
        }
    }
    return (int)condition;
}

/* Fails with the resolver's reason if r is a condition. */
static int
key_resolver_failed(struct text *t, int r, struct ss_span line)
{
    return r > 0 ? text_fail(t, (enum ss_filter_condition)r, t->resolver->reason, line) : r;
}

/* Emits the pending series, whose keys are hashed now. */
static int
emit_pending(struct text *t)
{
    struct pending_series *pending = &t->pending;
    size_t n = pending->n;
    int r = 0;
    if (!n)
        return 0;
    pending->n = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = key_resolver_hash_found(t->resolver, &pending->found[i], &pending->records[i].hash);
    key_resolver_finish_hashes(t->resolver);
    for (size_t i = 0; i < n && !r && key_cursor_records(&t->resolver->cursor); i++)
        if (pending->found[i].bytes.len)
            key_cursor_record(&t->resolver->cursor, pending->found[i].bytes, pending->records[i].hash);
    for (size_t i = 0; i < n && !r; i++)
        r = t->out->take(t->out->ctx, &pending->records[i]);
    return r;
}

int
text_flush(struct text *t)
{
    int r = emit_pending(t);
    return r ? r : t->out->flush(t->out->ctx);
}

static void
move_on(struct text *t, struct ss_span bytes, uint64_t lfs)
{
    t->offset += bytes.len;
    t->lfs += lfs;
}

/* Emits a record that starts at the current line and moves after it. lfs: how many LFs it has. */
static int
emit(struct text *t, const struct record *record, uint64_t lfs)
{
    int r = emit_pending(t);
    if (!r)
        r = t->out->take(t->out->ctx, record);
    move_on(t, record->bytes, lfs);
    return r;
}

/* The same for bytes with a route; hash is more specific if each series has its own. */
int
text_emit_routed(struct text *t, struct ss_span bytes, const struct route *route, uint64_t hash, uint64_t series,
                 uint64_t lfs)
{
    static const uint32_t flags[] = {
        [ROUTE_BY_HASH] = 0,
        [ROUTE_ALL] = RECORD_ALL,
        [ROUTE_NONE] = RECORD_DROPPED,
        [ROUTE_BY_LABELS] = 0,
        [ROUTE_BY_SERIES] = 0,
        [ROUTE_METADATA] = RECORD_METADATA,
        [ROUTE_METADATA_AT_HASH] = RECORD_METADATA | RECORD_AT_HASH,
    };
    return emit(t, &(struct record){bytes, hash, flags[route->kind], route->family, route->meta, series}, lfs);
}

static int
emit_flagged(struct text *t, struct ss_span bytes, uint32_t flags, uint64_t lfs)
{
    return emit(t, &(struct record){.bytes = bytes, .flags = flags}, lfs);
}

static uint64_t
count_lfs(struct ss_span bytes)
{
    const char *p = bytes.ptr, *last = bytes.ptr + bytes.len - 1;
    uint64_t n = 0;
    if (!bytes.len)
        return 0;
    /* Most have exactly one, as the last byte. */
    for (; (p = memchr(p, '\n', (size_t)(last - p))) != NULL; p++)
        n++;
    return n + (*last == '\n');
}

/* The unescaped name; with escapes, borrowed from the scratch. ptr is NULL if out of memory. */
static struct ss_span
unescape(struct text *t, const struct name *name)
{
    t->scratch.len = 0;
    if (name->escaped && buffer_add(&t->scratch, name->raw))
        return (struct ss_span){NULL, 0};
    return name_unescape(name, t->scratch.ptr);
}

/* Emits a series by the hash of its own key, or leaves that to emit_pending(). */
static int
emit_series(struct text *t, struct ss_span line, const struct route *route, struct ss_span name, size_t labels,
            uint64_t lfs)
{
    struct pending_series *pending = &t->pending;
    struct found_labels *found = &pending->found[pending->n];
    uint64_t hash;
    if (route->kind == ROUTE_BY_LABELS && labels && key_resolver_find_labels(t->resolver, name, line, labels, found)) {
        if (!pending->n && !key_resolver_delays(t->resolver, found)) {
            int r = key_resolver_hash_found(t->resolver, found, &hash);
            return r ? r : text_emit_routed(t, line, route, hash, 1, lfs);
        }
        pending->records[pending->n++] = (struct record){line, 0, 0, route->family, route->meta, 1};
        move_on(t, line, lfs);
        return pending->n < MAX_PENDING ? 0 : emit_pending(t);
    }
    int r = key_resolver_hash_text(t->resolver, route, name, line, labels, &hash);
    return r ? key_resolver_failed(t, r, line) : text_emit_routed(t, line, route, hash, 1, lfs);
}

/* Emits a sample whose name and route are known; labels: where they start, or 0. */
static int
emit_sample(struct text *t, struct ss_span line, const struct route *route, struct ss_span name, size_t labels,
            uint64_t lfs)
{
    struct route own;
    if (route->selectors) {
        int r = key_resolver_select_text(t->resolver, route, line, labels, &own);
        if (r)
            return key_resolver_failed(t, r, line);
        route = &own;
    }
    if (route_is_by_series(route))
        return emit_series(t, line, route, name, labels, lfs);
    return text_emit_routed(t, line, route, route->hash, 1, lfs);
}

int
text_emit_known(struct text *t, struct ss_span line, const struct name_prefix *prefix, uint64_t lfs)
{
    size_t labels = prefix->labels;
    /* In the line, which lives longer than the prefix. */
    struct ss_span name = {line.ptr + (prefix->name.ptr - prefix->prefix.bytes), prefix->name.len};
    if (!labels && route_is_by_series(&prefix->route))
        labels = sample_labels(line, prefix->prefix.len, t->syntax);
    return emit_sample(t, line, &prefix->route, name, labels, lfs);
}

static int
take_sample(struct text *t, struct ss_span line)
{
    struct sample sample;
    struct route route;
    uint64_t lfs = count_lfs(line);

    if (lfs > (line.ptr[line.len - 1] == '\n')) {
        const char *wrong = strict_sample(line, t->syntax);
        if (wrong)
            return text_fail(t, SS_NO_EXPOSITION, wrong, line);
    }
    /* The value is checked only when the name changes: the same lines must pass however the body is cut. */
    if (t->current && prefix_matches(line, &t->current->prefix))
        return text_emit_known(t, line, t->current, lfs);
    t->current = prefix_cache_lookup(&t->prefixes, line);
    if (t->current && sample_ends_in_value(line, t->syntax))
        return text_emit_known(t, line, t->current, lfs);

    const char *what = sample_read(line, t->syntax, &sample);
    if (what)
        return text_fail(t, SS_NO_EXPOSITION, what, line);
    struct ss_span name = unescape(t, &sample.name);
    int r = name.ptr ? key_resolver_sample(t->resolver, name, &route) : -ENOMEM;
    if (r)
        return key_resolver_failed(t, r, line);
    if (!t->current && sample.prefix_len && !sample.name.escaped)
        t->current = prefix_cache_insert(&t->prefixes, (struct ss_span){line.ptr, sample.prefix_len}, name, &route);
    r = emit_sample(t, line, &route, name, sample.labels, lfs);
    /* The memory of an unescaped name is needed for the next. */
    return r || !sample.name.escaped ? r : emit_pending(t);
}

/* A # EOF in a body that may be OpenMetrics: its shards depend on whether anything follows. */
static int
resolve_marker(struct text *t, uint32_t flags)
{
    t->ending = ENDING_OPEN;
    return emit_flagged(t, (struct ss_span){"# EOF\n", t->marker_lf ? 6 : 5}, flags, t->marker_lf);
}

static int
take_marker(struct text *t, struct ss_span line)
{
    if (is_openmetrics(t)) {
        t->ending = ENDING_SEEN;
        return emit_flagged(t, line, RECORD_ALL, count_lfs(line));
    }
    if (t->kind == FORMAT_GUESS) {
        t->ending = ENDING_PENDING;
        t->marker_lf = line.len == 6;
        return 0;
    }
    return emit_flagged(t, line, RECORD_UNKEYED, 1);
}

static int
emit_metadata(struct text *t, struct ss_span lines, struct ss_span name, struct ss_span type, uint64_t lfs)
{
    struct route route;
    int r = key_resolver_meta(t->resolver, name, type, &route);
    if (r)
        return key_resolver_failed(t, r, lines);
    bool waits = route.kind == ROUTE_METADATA || route.kind == ROUTE_METADATA_AT_HASH;
    if (waits && (t->waiting += lines.len + CORE_WAITING_OVERHEAD) > CORE_MAX_NAME_BYTES)
        return text_fail(t, SS_TOO_MANY, "more than 32 MiB of metadata of split families", lines);
    /* The following samples may now belong to another family than before. */
    if (key_resolver_depends_on_meta(t->resolver))
        prefix_cache_clear(&t->prefixes);
    return text_emit_routed(t, lines, &route, route.hash, 0, lfs);
}

/* Emits the block, whose memory is then free for the next. */
static int
emit_block(struct text *t)
{
    struct block *b = &t->block;
    struct ss_span lines = buffer_span(&b->lines);
    if (!lines.len)
        return 0;
    b->lines.len = 0;
    int r = emit_metadata(t, lines, buffer_span(&b->name), buffer_span(&b->type), b->lfs);
    return r ? r : text_flush(t);
}

static int
add_to_block(struct text *t, struct ss_span line, struct ss_span name, struct ss_span type)
{
    struct block *b = &t->block;
    int r = 0;
    /* A second type adds to the first. */
    if (b->lines.len && (!spans_equal(buffer_span(&b->name), name) || (type.len && b->type.len)))
        r = emit_block(t);
    if (!r && b->lines.len > t->max_line)
        return text_fail(t, SS_LINE_TOO_LONG, "metadata of one family longer than max_line", line);
    if (!r && !b->lines.len) {
        b->name.len = b->type.len = b->lfs = 0;
        r = buffer_add(&b->name, name);
    }
    if (!r && type.len) {
        b->type.len = 0;
        r = buffer_add(&b->type, type);
    }
    if (!r)
        r = buffer_add(&b->lines, line);
    b->lfs += count_lfs(line);
    return r;
}

static int
take_meta(struct text *t, struct ss_span line, const struct comment *comment)
{
    struct ss_span name = unescape(t, &comment->name);
    if (!name.ptr)
        return -ENOMEM;
    return t->blocks ? add_to_block(t, line, name, comment->type)
                     : emit_metadata(t, line, name, comment->type, count_lfs(line));
}

static int
take_comment(struct text *t, struct ss_span line)
{
    struct comment comment;
    const char *what = comment_read(line, t->syntax, &comment);
    if (what)
        return text_fail(t, SS_NO_EXPOSITION, what, line);
    if (comment.kind == COMMENT_META)
        return take_meta(t, line, &comment);
    int r = emit_block(t);
    if (r)
        return r;
    return comment.kind == COMMENT_EOF ? take_marker(t, line) : emit_flagged(t, line, RECORD_UNKEYED, count_lfs(line));
}

int
text_take_line(struct text *t, struct ss_span line)
{
    if (t->ending == ENDING_SEEN)
        return text_fail(t, SS_NO_EXPOSITION, "text after # EOF", line);
    if (t->ending == ENDING_PENDING) {
        int r = resolve_marker(t, RECORD_UNKEYED);
        if (r)
            return r;
    }

    size_t blanks = 0;
    if (!is_openmetrics(t))
        while (blanks < line.len && (line.ptr[blanks] == ' ' || line.ptr[blanks] == '\t'))
            blanks++;
    char first = blanks < line.len ? line.ptr[blanks] : '\n';
    if (first == '#') {
        t->current = NULL;
        return take_comment(t, line);
    }
    int r = emit_block(t);
    if (r)
        return r;
    if (first != '\n')
        return take_sample(t, line);
    t->current = NULL;
    return is_openmetrics(t) ? text_fail(t, SS_NO_EXPOSITION, "a blank line, which OpenMetrics forbids", line)
                             : emit_flagged(t, line, RECORD_UNKEYED, count_lfs(line));
}

int
text_take_padding(struct text *t, struct ss_span in)
{
    static const char padding[] = " \t\r\n"; /* and its NUL */
    size_t n = 0;
    int r = 0;

    if (t->ending == ENDING_PENDING)
        r = resolve_marker(t, RECORD_UNKEYED);
    t->ending = ENDING_NUL;
    t->current = NULL;
    while (n < in.len && memchr(padding, in.ptr[n], sizeof(padding)))
        n++;
    if (!r && n)
        r = emit_flagged(t, (struct ss_span){in.ptr, n}, RECORD_UNKEYED, count_lfs((struct ss_span){in.ptr, n}));
    if (!r && n < in.len)
        return text_fail(t, SS_NO_EXPOSITION, "text after a NUL byte, where the scraper stops reading",
                         (struct ss_span){NULL, 0});
    return r;
}

int
text_emit_held(struct text *t)
{
    int r = emit_block(t);
    return r || t->ending != ENDING_PENDING ? r : resolve_marker(t, RECORD_ALL);
}
