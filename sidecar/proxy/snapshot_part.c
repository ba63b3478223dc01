/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scrape gets of a snapshot. Nothing of it can fail in mid-body, so it goes out whole, with its length: runs of
 * the body are lent to the answer, and compressed parts are kept with the snapshot, for the replica of a server asks
 * for the same.
 */
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
    /* Shorter runs are copied: that takes no longer than a reference, as measured with libevent 2.1. */
    REFERENCE_MIN = 1024,
    /* What fits in one packet is sent as it is; what takes longer than a turn of the loop may, too. */
    GZIP_MIN = 1400,
    GZIP_MAX = 64 * 1024 * 1024,
};

struct kept_gzip {
    TAILQ_ENTRY(kept_gzip) next;
    char *shard; /* as the scrape named them; NULL: the whole body */
    uint32_t shard_count;
    struct ss_filter_counts counts;
    size_t len;
    char bytes[];
};

/* Lending. */

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

/* Compressing. */

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
compress(struct snapshots *store, struct evbuffer *plain, int level, struct evbuffer *out)
{
    struct evbuffer_iovec part;
    int r = gzip_reset(&store->gzip, level);
    while (!r && evbuffer_peek(plain, -1, NULL, &part, 1) > 0) {
        r = gzip_add(store->gzip, (struct ss_span){part.iov_base, part.iov_len}, out);
        evbuffer_drain(plain, part.iov_len);
    }
    return r ? r : gzip_end(store->gzip, out);
}

/* Keeps what was compressed, taking it out of the buffer. */
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
    snapshot_count(s, s->bytes + sizeof(*kept) + len);
    return kept;
}

/* Whether a part is to be compressed: its gzip is kept, so there must be room, at the worst for as much as is plain. */
static bool
is_worth_it(const struct snapshot *s, size_t len)
{
    return len >= GZIP_MIN && len <= GZIP_MAX && snapshot_has_room(s, len);
}

/* Puts the compressed part in the place of the plain one. */
static int
compress_part(struct snapshot *s, const struct params *params, struct snapshot_selection *part)
{
    struct evbuffer *compressed = evbuffer_new();
    int r = compressed ? compress(s->store, part->body, s->config->compression_level, compressed) : -ENOMEM;
    struct kept_gzip *kept = r ? NULL : keep_gzip(s, params, compressed);
    if (compressed)
        evbuffer_free(compressed);
    if (!kept)
        return -ENOMEM;
    kept->counts = *part->counts;
    return add_reference(s, part->body, kept->bytes, kept->len);
}

void
snapshot_free_gzips(struct snapshot *s)
{
    struct kept_gzip *kept;
    while ((kept = TAILQ_FIRST(&s->gzips)) != NULL) {
        TAILQ_REMOVE(&s->gzips, kept, next);
        free(kept->shard);
        free(kept);
    }
}

/* Taking. */

/* Brings the index in the order of a count that is asked for again; without room or memory for that it does without. */
static void
build_shard_lists(struct snapshot *s, uint32_t count)
{
    size_t before = ss_index_memory(s->index);
    if (count == s->last_count && snapshot_has_room(s, before - ss_index_body(s->index).len)) {
        ss_index_build_shard_lists(s->index, count);
        snapshot_count(s, s->bytes + ss_index_memory(s->index) - before);
    }
    s->last_count = count;
}

static int
take_body(struct snapshot *s, const struct params *params, struct snapshot_selection *part)
{
    struct reference_sink refs = {s, part->body};
    struct ss_sink sink = {take_spans, &refs};
    bool gzip = part->gzip;

    part->gzip = false;
    if (s->passthrough_body) {
        size_t len = evbuffer_get_length(s->passthrough_body);
        return len ? add_reference(s, part->body, evbuffer_pullup(s->passthrough_body, -1), len) : 0;
    }
    struct kept_gzip *kept = gzip ? find_gzip(s, params) : NULL;
    if (kept) {
        part->gzip = true;
        *part->counts = kept->counts;
        return add_reference(s, part->body, kept->bytes, kept->len);
    }
    if (params->shards)
        build_shard_lists(s, ss_shards_count(params->shards));
    int r = ss_index_select(s->index, params->shards, &sink, part->counts);
    if (r)
        return r < 0 ? r : ERANGE;
    part->gzip = gzip && is_worth_it(s, evbuffer_get_length(part->body));
    return part->gzip ? compress_part(s, params, part) : 0;
}

int
snapshot_set_time_header(struct snapshot *s)
{
    char time[40];
    struct tm tm;
    size_t n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s->time.tv_sec, &tm));
    snprintf(time + n, sizeof(time) - n, ".%03dZ", (int)(s->time.tv_nsec / 1000000));
    while (!evhttp_remove_header(&s->headers, "Age") || !evhttp_remove_header(&s->headers, "Scrapeshard-Snapshot"))
        ;
    return evhttp_add_header(&s->headers, "Scrapeshard-Snapshot", time) ? -ENOMEM : 0;
}

int
snapshot_take(struct snapshot *s, const struct params *params, struct snapshot_selection *part,
              struct evkeyvalq *headers)
{
    const struct evkeyval *h;
    char age[24];

    *part->counts = (struct ss_filter_counts){0};
    TAILQ_FOREACH (h, &s->headers, next)
        if (evhttp_add_header(headers, h->key, h->value))
            return -ENOMEM;
    snprintf(age, sizeof(age), "%lld", (long long)snapshot_age(s));
    if (evhttp_add_header(headers, "Age", age))
        return -ENOMEM;
    return take_body(s, params, part);
}
