/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_FILTER_H
#define SCRAPESHARD_FILTER_H
/*
 * Takes a body and gives the body of some of its shards: streamed, without copies.
 *
 *     struct ss_filter_settings settings = ss_filter_settings_default();
 *     settings.content_type = "text/plain; version=0.0.4";
 *     settings.shards = shards;
 *     ss_filter_new(&filter, &settings);
 *     while (more) ss_filter_feed(filter, bytes, &sink);
 *     ss_filter_end(filter, &sink);
 *     ss_filter_free(filter);
 *
 * The sink gets bytes exactly as they came, in their order. Together, the sinks of all shards get the whole body, each
 * record once, with these exceptions: every shard gets the end marker of OpenMetrics; the metadata of a family that is
 * split go to each shard that has one of its samples; rules may drop or replicate.
 *
 * A line with a sample is one series, and so is a protobuf metric: a histogram or summary counts as one in protobuf and
 * OpenMetrics 2.0, and as one for each of its samples in the other formats.
 *
 * The filter splits bodies, it does not validate them: it rejects only what no scraper could read as an exposition, and
 * it rejects that for every shard alike.
 */
#include <scrapeshard/key_cache.h>
#include <scrapeshard/sharding.h>
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a body failed. Fatal errors of the process are negative errno values and never in this enum. */
enum ss_filter_condition {
    SS_NO_EXPOSITION = 1, /* a record that no parser of the format accepts */
    SS_LINE_TOO_LONG,     /* a line longer than max_line; in protobuf, that much of a family before its name */
    SS_BODY_TRUNCATED,    /* the body ended inside a record or before its end marker */
    SS_TOO_MANY,          /* more series or families than max_series or max_families, or too many names to remember */
    SS_RULE_FAILED,       /* matching a rule failed, so that its effect is unknown */
    SS_KEY_IMPOSSIBLE,    /* the key does not work in this format, or a protobuf family must not be split */
};

/* Where and why a body failed. */
struct ss_filter_error {
    enum ss_filter_condition condition;
    uint64_t offset; /* bytes before the record that failed */
    uint64_t line;   /* its line, from 1; 0 in a format without lines */
    char reason[300];
};

struct ss_filter_settings {
    const char *content_type;       /* of the response; selects the format. NULL: text. Not kept. */
    const struct ss_shards *shards; /* the shards to keep, NULL: all. Borrowed while the filter lives. */
    struct ss_sharding *sharding;   /* NULL: the default. Borrowed while the filter lives. */
    struct ss_key_cache *key_cache; /* of the body's source; NULL: none. Borrowed while the filter lives. */
    size_t max_line;                /* bytes of the longest accepted line, including its LF */
    uint64_t max_series;            /* of the whole body, whatever is kept; 0: no limit */
    uint64_t max_families;          /* likewise; families are told apart by the names that their keys come from */
    bool count_families;            /* count each family, for ss_filter_largest() and the family counts */
};

/* Text, all shards, the default sharding, lines of up to 1 MiB, no other limits, no count of families. */
struct ss_filter_settings ss_filter_settings_default(void);

/* The counts so far. With count_families each family counts once; families beyond its limit, and all families
   without it, count again when they reappear after another one, and under a key that splits families each part
   counts. */
struct ss_filter_counts {
    uint64_t bytes_seen, bytes_kept;
    uint64_t series_seen, series_kept;
    uint64_t families_seen, families_kept;
};

struct ss_filter;

/* 0: the caller owns *filterp. -ENOMEM. A content type in which the key does not work fails the first feed. */
int ss_filter_new(struct ss_filter **filterp, const struct ss_filter_settings *settings);

/*
 * Takes the next bytes of the body, cut anywhere, and passes what is kept to the sink. The bytes are not needed after
 * the call; an incomplete record at their end is copied.
 *
 * Returns 0; a condition (see ss_filter_error()); or a negative errno value, which may be the sink's own. After
 * anything but 0, every further call returns the same.
 */
int ss_filter_feed(struct ss_filter *filter, struct ss_span bytes, const struct ss_sink *sink);

/* The body is complete. Returns as ss_filter_feed(). Required: it emits the last bytes and makes the last checks. */
int ss_filter_end(struct ss_filter *filter, const struct ss_sink *sink);

/*
 * Whether the bytes so far end where a body can end by itself: after an LF, or after the end marker. A body whose end
 * is marked only by a closed connection is complete only if this is true.
 */
bool ss_filter_ends_whole(const struct ss_filter *filter);

/* The error after a condition was returned, or NULL. Borrowed from the filter. */
const struct ss_filter_error *ss_filter_error(const struct ss_filter *filter);

/* "line 3, byte 120: ..." for a log or a response. Writes at most size bytes including the NUL; returns buffer. */
const char *ss_filter_error_text(const struct ss_filter_error *error, char *buffer, size_t size);

const struct ss_filter_counts *ss_filter_counts(const struct ss_filter *filter);

struct ss_family_count {
    struct ss_span name;
    uint64_t series, bytes;
    /* How its samples are distributed: all by the hash, for ss_sharding_place(); to every shard; to none; or not all
       in the same way. */
    enum ss_family_route { SS_FAMILY_BY_HASH, SS_FAMILY_ALL, SS_FAMILY_NONE, SS_FAMILY_SPLIT } route;
    uint64_t hash;
    /* How many of its series are in no shard and in every shard; the route does not consider what selectors drop or
       replicate. */
    uint64_t dropped, replicated;
};

/*
 * The families with the most series so far, largest first, of the whole body, whatever is kept. Writes at most n of
 * them and returns how many. In a body with very many families, or very long names, late ones are not counted. Needs
 * count_families, max_series or max_families. Names are borrowed from the filter.
 */
size_t ss_filter_largest(const struct ss_filter *filter, struct ss_family_count *out, size_t n);

/* Visits the counted families that have samples, in no particular order. Needs the same settings. */
void ss_filter_families(const struct ss_filter *filter, void (*visit)(void *ctx, const struct ss_family_count *family),
                        void *ctx);

/* The name of the detected format: "text", "openmetrics", "openmetrics 2.0" or "protobuf". Static. */
const char *ss_filter_format(const struct ss_filter *filter);

/* NULL is fine. */
void ss_filter_free(struct ss_filter *filter);

#ifdef __cplusplus
}
#endif
#endif
