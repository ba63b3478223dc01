/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_INDEX_H
#define SCRAPESHARD_INDEX_H
/*
 * A body, read once, from which any shards are taken: what depends on the body alone is done when it comes, and each
 * selection only looks at the hashes.
 *
 *     ss_index_new(&index, &settings);
 *     while (more) ss_index_feed(index, bytes);
 *     ss_index_end(index);
 *     ss_index_select(index, shards, &sink, &counts);
 */
#include <scrapeshard/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ss_index;

/* settings as of a filter, but that its shards mean nothing. 0: *indexp is the caller's. -ENOMEM. */
int ss_index_new(struct ss_index **indexp, const struct ss_filter_settings *settings);

/* Takes the next bytes of the body, cut anywhere, and copies them. Answers as ss_filter_feed(). */
int ss_index_feed(struct ss_index *index, struct ss_span bytes);

/* Tells that the body is at its end; after 0 it can be selected from. Answers as ss_filter_end(). */
int ss_index_end(struct ss_index *index);

/* As those of a filter. */
bool ss_index_ends_whole(const struct ss_index *index);
const struct ss_filter_error *ss_index_error(const struct ss_index *index);
size_t ss_index_largest(const struct ss_index *index, struct ss_family_count *out, size_t n);
void ss_index_families(const struct ss_index *index, void (*visit)(void *ctx, const struct ss_family_count *family),
                       void *ctx);
const char *ss_index_format(const struct ss_index *index);

/*
 * Hands what the shards (NULL: all) have of the body to the sink, as a filter would. Spans of SS_INDEX_LENT bytes and
 * more are borrowed from the index and live as long as it does; shorter ones until take() returns. *counts is
 * overwritten.
 *
 * 0; a negative errno value, the sink's own among them.
 */
int ss_index_select(const struct ss_index *index, const struct ss_shards *shards, const struct ss_sink *sink,
                    struct ss_filter_counts *counts);

/*
 * Puts the body in the order of the shards of this count, so that to select one of them takes no longer than what it
 * has is long. It takes no more memory than the index besides the body. Only to be quick: what is selected is the same
 * with and without, and nothing is done for a body of which a family parts, or for counts as large as the body. Behind
 * ss_index_end(); another count's order is given up. 0 or -ENOMEM, and then there is none.
 */
int ss_index_build_shard_lists(struct ss_index *index, uint32_t count);

enum { SS_INDEX_LENT = 16 };

/* How a part of a body falls: neighbours of one family and one fate. */
struct ss_index_part {
    struct ss_span family; /* its name; empty if it has none, or is one of too many. Borrowed from the index. */
    enum ss_index_route { SS_INDEX_BY_HASH, SS_INDEX_ALL, SS_INDEX_NONE, SS_INDEX_UNKEYED, SS_INDEX_METADATA } route;
    uint64_t hash; /* SS_INDEX_BY_HASH: of the key, for ss_sharding_place() */
    uint64_t series, bytes;
};

/* Goes through the body's parts in their order. Needs census in the settings for the families' names. */
void ss_index_visit(const struct ss_index *index, void (*visit)(void *ctx, const struct ss_index_part *part),
                    void *ctx);

/* Its series, so far. */
uint64_t ss_index_series(const struct ss_index *index);

/* The body as it came; borrowed. */
struct ss_span ss_index_body(const struct ss_index *index);

/* The bytes of memory that the index takes, the body among them. */
size_t ss_index_memory(const struct ss_index *index);

/* NULL is fine. */
void ss_index_free(struct ss_index *index);

#ifdef __cplusplus
}
#endif
#endif
