/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_INDEX_H
#define SCRAPESHARD_INDEX_H
/*
 * A body that is read once and from which any shards are selected: the work that depends on the body alone is done when
 * it arrives; a selection only looks at the hashes.
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

/* settings as for a filter; its shards are ignored. 0: the caller owns *indexp. -ENOMEM. */
int ss_index_new(struct ss_index **indexp, const struct ss_filter_settings *settings);

/* Takes the next bytes of the body, cut anywhere, and copies them. Returns as ss_filter_feed(). */
int ss_index_feed(struct ss_index *index, struct ss_span bytes);

/* The body is complete; after 0 it can be selected from. Returns as ss_filter_end(). */
int ss_index_end(struct ss_index *index);

/* As for a filter. */
bool ss_index_ends_whole(const struct ss_index *index);
const struct ss_filter_error *ss_index_error(const struct ss_index *index);
size_t ss_index_largest(const struct ss_index *index, struct ss_family_count *out, size_t n);
void ss_index_families(const struct ss_index *index, void (*visit)(void *ctx, const struct ss_family_count *family),
                       void *ctx);
const char *ss_index_format(const struct ss_index *index);

/*
 * Passes what the shards (NULL: all) have of the body to the sink, as a filter would. Spans of at least
 * SS_INDEX_BORROW_MIN bytes are borrowed from the index and live as long as it does; shorter ones until take() returns.
 * *counts is overwritten.
 *
 * Returns 0, or a negative errno value, which may be the sink's own.
 */
int ss_index_select(const struct ss_index *index, const struct ss_shards *shards, const struct ss_sink *sink,
                    struct ss_filter_counts *counts);

/*
 * Sorts the body by the shards of this count, so that selecting one of them takes time proportional to what it has.
 * This takes at most as much memory as the index without the body. It only saves time: selections give the same result
 * with and without, and nothing is built for a body with a split family, or for a count about as large as the body.
 * Call it after ss_index_end(); it replaces the lists of another count. 0 or -ENOMEM, and then there are no lists.
 */
int ss_index_build_shard_lists(struct ss_index *index, uint32_t count);

enum { SS_INDEX_BORROW_MIN = 16 };

/* Neighbouring records of one family with the same route. */
struct ss_index_part {
    struct ss_span family; /* empty if it has no name or was one too many. Borrowed from the index. */
    enum ss_index_route { SS_INDEX_BY_HASH, SS_INDEX_ALL, SS_INDEX_NONE, SS_INDEX_UNKEYED, SS_INDEX_METADATA } route;
    uint64_t hash; /* SS_INDEX_BY_HASH: the key's, for ss_sharding_place() */
    uint64_t series, bytes;
};

/* Visits the body's parts in their order. Needs count_families in the settings for the families' names. */
void ss_index_visit(const struct ss_index *index, void (*visit)(void *ctx, const struct ss_index_part *part),
                    void *ctx);

/* The body's series so far. */
uint64_t ss_index_series(const struct ss_index *index);

/* The body as received; borrowed. */
struct ss_span ss_index_body(const struct ss_index *index);

/* The memory used by the index, in bytes, including the body. */
size_t ss_index_memory(const struct ss_index *index);

/* NULL is fine. */
void ss_index_free(struct ss_index *index);

#ifdef __cplusplus
}
#endif
#endif
