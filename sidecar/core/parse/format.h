/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H
/* One struct per format: how its bodies are parsed into records. */
#include "core/text/syntax.h"
#include "record.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>

struct key_resolver;

enum format_kind {
    FORMAT_TEXT,          /* text/plain */
    FORMAT_GUESS,         /* parsed as text, but may be OpenMetrics: a last # EOF goes to every shard */
    FORMAT_OPENMETRICS,   /* application/openmetrics-text */
    FORMAT_OPENMETRICS_2, /* the same with version=2 or 2.x */
    FORMAT_PROTOBUF,      /* application/vnd.google.protobuf, delimited */
};

/* The settings of a format. error is where it reports why a body failed; error and resolver are borrowed and outlive
   the state. */
struct format_settings {
    size_t max_line;
    struct key_resolver *resolver;
    struct ss_filter_error *error;
    bool whole_families; /* protobuf: split families are emitted in one part, however large */
    size_t *held;        /* protobuf: where it reports the memory that holds incomplete messages, in bytes */
};

/*
 * The functions return 0, an enum ss_filter_condition with *error filled, or a negative errno value. A record is
 * emitted as soon as it is complete. What each shard gets does not depend on how the body is cut, but for one thing:
 * into which parts a split protobuf family above CORE_MAX_FAMILY_WINDOW falls. The metrics in them are the same
 * together.
 */
struct format {
    enum format_kind kind;
    enum text_syntax syntax; /* of its lines, if it has any */
    bool has_composites;     /* a histogram is a single metric: see ss_sharding_takes_protobuf() */
    const char *name;
    const char *media_type; /* with the version if it needs one */
    int (*new)(void **statep, const struct format *format, const struct format_settings *settings);
    int (*feed)(void *state, struct ss_span in, const struct records *out);
    int (*end)(void *state, const struct records *out);
    bool (*ends_whole)(const void *state);
    void (*free)(void *state);
};

/* The format of a response's Content-Type, as Prometheus chooses: by the media type, and the version of OpenMetrics;
   FORMAT_GUESS for an unknown one, or NULL. */
const struct format *format_of(const char *content_type);

/* The same for an element of an Accept header. */
const struct format *format_of_element(struct ss_span element);

/* The format of this name; FORMAT_TEXT for that of FORMAT_GUESS. */
const struct format *format_named(const char *name);

/* The functions in the table: text.c. */
int text_new(void **statep, const struct format *format, const struct format_settings *settings);
int text_feed(void *state, struct ss_span in, const struct records *out);
int text_end(void *state, const struct records *out);
bool text_ends_whole(const void *state);
void text_free(void *state);

/* protobuf.c. */
int protobuf_new(void **statep, const struct format *format, const struct format_settings *settings);
int protobuf_feed(void *state, struct ss_span in, const struct records *out);
int protobuf_end(void *state, const struct records *out);
bool protobuf_ends_whole(const void *state);
void protobuf_free(void *state);

#endif
