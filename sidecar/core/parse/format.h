/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H
/* One struct per format: how its bodies are parsed into records. */
#include "record.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>

struct key_resolver;

enum format_kind {
    FORMAT_TEXT,        /* text/plain */
    FORMAT_GUESS,       /* parsed as text, but may be OpenMetrics: a last # EOF goes to every shard */
    FORMAT_OPENMETRICS, /* application/openmetrics-text */
    FORMAT_PROTOBUF,    /* application/vnd.google.protobuf, delimited */
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
 * emitted as soon as it is complete, so that the records do not depend on how the body is cut.
 */
struct format {
    enum format_kind kind;
    const char *name;
    int (*begin)(void **statep, enum format_kind kind, const struct format_settings *settings);
    int (*feed)(void *state, struct ss_span in, const struct records *out);
    int (*end)(void *state, const struct records *out);
    bool (*ends_whole)(const void *state);
    void (*free)(void *state);
};

/* The format of a response's Content-Type, by the media type alone, as Prometheus chooses; format_guess for an
   unknown one. */
const struct format *format_of(const char *content_type);

/* The functions in the table: text.c. */
int text_begin(void **statep, enum format_kind kind, const struct format_settings *settings);
int text_feed(void *state, struct ss_span in, const struct records *out);
int text_end(void *state, const struct records *out);
bool text_ends_whole(const void *state);
void text_free(void *state);

/* protobuf.c. */
int protobuf_begin(void **statep, enum format_kind kind, const struct format_settings *settings);
int protobuf_feed(void *state, struct ss_span in, const struct records *out);
int protobuf_end(void *state, const struct records *out);
bool protobuf_ends_whole(const void *state);
void protobuf_free(void *state);

#endif
