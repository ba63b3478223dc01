/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_select.h"

#include "gzip.h"
#include "params.h"
#include "snapshot.h"

#include "service/config/config.h"

#include <scrapeshard/index.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Shorter runs are copied, which takes no longer than a reference (measured with libevent 2.1). */
    REFERENCE_MIN = 1024,
    /* Larger bodies are not compressed: that would block the loop for too long. */
    GZIP_MAX_BYTES = 64 * 1024 * 1024,
};

/* References. */

static void
unref_snapshot(const void *bytes, size_t len, void *ctx)
{
    (void)bytes, (void)len;
    snapshot_unref(ctx);
}

static int
add_reference(struct snapshot *s, struct evbuffer *out, const void *bytes, size_t len)
{
    if (len < REFERENCE_MIN)
        return evbuffer_add(out, bytes, len) ? -ENOMEM : 0;
    if (evbuffer_add_reference(out, bytes, len, unref_snapshot, s))
        return -ENOMEM;
    snapshot_ref(s);
    return 0;
}

struct reference_sink {
    struct snapshot *snapshot;
    struct evbuffer *out;
};

static int
take_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    struct reference_sink *refs = ctx;
    int r = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = add_reference(refs->snapshot, refs->out, spans[i].ptr, spans[i].len);
    return r;
}

/* Compression. */

static bool
same_shards(const struct kept_gzip *kept, const struct params *params)
{
    if (!kept->shard || !params->shards)
        return !kept->shard && !params->shards;
    return kept->shard_count == ss_shards_count(params->shards) && !strcmp(kept->shard, params->shard);
}

static struct kept_gzip *
find_gzip(struct snapshot *s, const struct params *params)
{
    struct kept_gzip *kept;
    TAILQ_FOREACH (kept, &s->gzips, next)
        if (same_shards(kept, params))
            return kept;
    return NULL;
}

static int
compress(struct snapshot_pool *pool, struct evbuffer *plain, int level, struct evbuffer *out)
{
    int r = gzip_reset(&pool->gzip, level);
    if (!r)
        r = gzip_add_buffer(pool->gzip, plain, out);
    return r ? r : gzip_end(pool->gzip, out);
}

/* Moves a compressed selection from the buffer to the snapshot. */
static struct kept_gzip *
keep_gzip(struct snapshot *s, const struct params *params, struct evbuffer *compressed)
{
    size_t len = evbuffer_get_length(compressed);
    struct kept_gzip *kept = malloc(sizeof(*kept) + len);
    char *shard = params->shards ? strdup(params->shard) : NULL;
    if (!kept || (params->shards && !shard)) {
        free(kept);
        free(shard);
        return NULL;
    }
    *kept = (struct kept_gzip){.shard = shard, .len = len};
    kept->shard_count = params->shards ? ss_shards_count(params->shards) : 0;
    evbuffer_remove(compressed, kept->bytes, len);
    TAILQ_INSERT_TAIL(&s->gzips, kept, next);
    snapshot_set_memory(s, s->bytes + sizeof(*kept) + len);
    return kept;
}

/* Its gzip is kept, so there must be room for it: at worst as much as for the plain bytes. */
static bool
should_compress(const struct snapshot *s, size_t len)
{
    return len >= GZIP_MIN_BYTES && len <= GZIP_MAX_BYTES && snapshot_has_room(s, len);
}

/* Replaces the plain body by its gzip. */
static int
compress_selection(struct snapshot *s, const struct params *params, struct snapshot_selection *selection)
{
    struct evbuffer *compressed = evbuffer_new();
    int r = compressed ? compress(s->pool, selection->body, s->config->compression_level, compressed) : -ENOMEM;
    struct kept_gzip *kept = r ? NULL : keep_gzip(s, params, compressed);
    if (compressed)
        evbuffer_free(compressed);
    if (!kept)
        return -ENOMEM;
    kept->counts = *selection->counts;
    return add_reference(s, selection->body, kept->bytes, kept->len);
}

/* Selection. */

/* Builds the index's lists for a shard_count that is requested again; they are optional, so a failure is ignored. */
static void
build_shard_lists(struct snapshot *s, uint32_t count)
{
    size_t before = ss_index_memory(s->index);
    if (count == s->last_count && snapshot_has_room(s, before - ss_index_body(s->index).len)) {
        ss_index_build_shard_lists(s->index, count);
        snapshot_set_memory(s, s->bytes + ss_index_memory(s->index) - before);
    }
    s->last_count = count;
}

static int
select_body(struct snapshot *s, const struct params *params, struct snapshot_selection *selection)
{
    struct reference_sink refs = {s, selection->body};
    struct ss_sink sink = {take_spans, &refs};
    bool gzip = selection->gzip;

    selection->gzip = false;
    if (s->passthrough_body) {
        size_t len = evbuffer_get_length(s->passthrough_body);
        return len ? add_reference(s, selection->body, evbuffer_pullup(s->passthrough_body, -1), len) : 0;
    }
    struct kept_gzip *kept = gzip ? find_gzip(s, params) : NULL;
    if (kept) {
        selection->gzip = true;
        *selection->counts = kept->counts;
        return add_reference(s, selection->body, kept->bytes, kept->len);
    }
    if (params->shards)
        build_shard_lists(s, ss_shards_count(params->shards));
    int r = ss_index_select(s->index, params->shards, &sink, selection->counts);
    if (r)
        return r < 0 ? r : ERANGE;
    selection->gzip = gzip && should_compress(s, evbuffer_get_length(selection->body));
    return selection->gzip ? compress_selection(s, params, selection) : 0;
}

int
snapshot_select(struct snapshot *s, const struct params *params, struct snapshot_selection *selection,
                struct evkeyvalq *headers)
{
    const struct evkeyval *h;
    char age[24];

    *selection->counts = (struct ss_filter_counts){0};
    TAILQ_FOREACH (h, &s->headers, next)
        if (evhttp_add_header(headers, h->key, h->value))
            return -ENOMEM;
    snprintf(age, sizeof(age), "%lld", (long long)snapshot_age(s));
    if (evhttp_add_header(headers, "Age", age))
        return -ENOMEM;
    return select_body(s, params, selection);
}
