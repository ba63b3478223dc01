/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_FILTER_H
#define SCRAPESHARD_FILTER_H
/*
 * A body in, the body of some of its shards out: streamed, without copies.
 *
 *     struct ss_filter_settings settings = ss_filter_settings_default();
 *     settings.content_type = "text/plain; version=0.0.4";
 *     settings.shards = shards;
 *     ss_filter_new(&filter, &settings);
 *     while (more) ss_filter_feed(filter, bytes, &sink);
 *     ss_filter_end(filter, &sink);
 *     ss_filter_free(filter);
 *
 * What reaches the sink is byte for byte what came in, in its order. The sinks of all shards together get the whole
 * body, each record once, but for the end marker of OpenMetrics, which every shard gets; for metadata of families that
 * part, which each shard gets that has a sample of theirs; and for what rules drop or replicate.
 *
 * The filter splits, it does not judge: it refuses only what no scraper could read as an exposition, and it refuses
 * that for every shard alike.
 */
#include <scrapeshard/sharding.h>
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A condition of this body. Fatal errors of the process are negative errno values and never stand here. */
enum ss_filter_condition {
    SS_NO_EXPOSITION = 1, /* a record that no parser of the format accepts */
    SS_LINE_TOO_LONG,     /* a line longer than max_line; in protobuf, as much of a family before its name */
    SS_BODY_TRUNCATED,    /* the body ended inside a record or before its end marker */
    SS_TOO_MANY,          /* more series or families than max_series or max_families, or names than memory is for */
    SS_RULE_FAILED,       /* a rule's pattern came to no end, so that nobody knows what it matches */
    SS_KEY_IMPOSSIBLE,    /* a format in which the key cannot be honoured, or a family of protobuf that must not part */
};

/* Where and why a body failed. */
struct ss_filter_error {
    enum ss_filter_condition condition;
    uint64_t offset; /* bytes before the record that failed */
    uint64_t line;   /* its line, from 1; 0 in a format without lines */
    char reason[300];
};

struct ss_filter_settings {
    const char *content_type;       /* of the response; decides the format. NULL is text. Not kept. */
    const struct ss_shards *shards; /* what to let through, NULL: all. Borrowed while the filter lives. */
    struct ss_sharding *sharding;   /* NULL: the default. Borrowed while the filter lives. */
    size_t max_line;                /* bytes of the longest line taken, its LF included */
    uint64_t max_series;            /* of the whole body, whatever is let through; 0: any number */
    uint64_t max_families;          /* likewise; families by their keys' names */
    bool census;                    /* count by family, for ss_filter_largest() and the counts of families */
};

/* Text, all shards, the default sharding, lines of up to 1 MiB, no other limits, no census. */
struct ss_filter_settings ss_filter_settings_default(void);

/* What went by so far. With a census each family counts once; those that it has no room for, and all families without
   one, count again when they reappear after another, and under a key that parts families so does each part. */
struct ss_filter_counts {
    uint64_t bytes_seen, bytes_kept;
    uint64_t series_seen, series_kept;
    uint64_t families_seen, families_kept;
};

struct ss_filter;

/* 0: *filterp is the caller's. -ENOMEM. A content type in which the key cannot be honoured fails the first feed. */
int ss_filter_new(struct ss_filter **filterp, const struct ss_filter_settings *settings);

/*
 * Takes the next bytes of the body, cut anywhere, and hands what is to be kept to the sink. The bytes are not needed
 * after the call; an incomplete record at their end is copied.
 *
 * 0; a condition (ss_filter_error() tells the rest); or a negative errno value, the sink's own among them. After
 * anything but 0 the filter only answers the same again.
 */
int ss_filter_feed(struct ss_filter *filter, struct ss_span bytes, const struct ss_sink *sink);

/* Tells that the body is at its end. Answers as ss_filter_feed(). Needed for the last bytes, and the last check. */
int ss_filter_end(struct ss_filter *filter, const struct ss_sink *sink);

/*
 * Whether the bytes so far end where a body can end by itself: after a LF, after the end marker. A body whose end was
 * told by nothing but a closed connection is whole only if this is true.
 */
bool ss_filter_ends_whole(const struct ss_filter *filter);

/* The failure that a condition stands for; NULL while there is none. Borrowed from the filter. */
const struct ss_filter_error *ss_filter_error(const struct ss_filter *filter);

/* "line 3, byte 120: …" for a log or a reply. Writes at most size bytes with their NUL; returns buffer. */
const char *ss_filter_error_text(const struct ss_filter_error *error, char *buffer, size_t size);

const struct ss_filter_counts *ss_filter_counts(const struct ss_filter *filter);

struct ss_family_count {
    struct ss_span name;
    uint64_t series, bytes;
    /* How its samples fall: whole by the hash, for ss_sharding_place(); to every shard, to none; or not all alike. */
    enum ss_family_route { SS_FAMILY_BY_HASH, SS_FAMILY_ALL, SS_FAMILY_NONE, SS_FAMILY_SPLIT } route;
    uint64_t hash;
};

/*
 * The families with the most series so far, largest first, of the whole body, whatever is let through. Writes at most n
 * of them and answers how many; of a body with very many families, those that came late are not counted. Needs census,
 * max_series or max_families. Names are borrowed from the filter.
 */
size_t ss_filter_largest(const struct ss_filter *filter, struct ss_family_count *out, size_t n);

/* Goes through the families of the census that have samples, in no order. Needs as much. */
void ss_filter_families(const struct ss_filter *filter, void (*visit)(void *ctx, const struct ss_family_count *family),
                        void *ctx);

/* The name of the format in use: "text", "openmetrics", "protobuf". Static. */
const char *ss_filter_format(const struct ss_filter *filter);

/* NULL is fine. */
void ss_filter_free(struct ss_filter *filter);

#ifdef __cplusplus
}
#endif
#endif
