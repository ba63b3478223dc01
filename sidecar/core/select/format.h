/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H
/* One struct a format: how a body of it falls into records. */
#include "record.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>

struct key_resolver;

/* What a format needs to know. error is where it tells why a body failed; both it and the keyer are borrowed and
   outlive the state. */
struct format_settings {
    size_t max_line;
    struct key_resolver *resolver;
    struct ss_filter_error *error;
    bool whole_families; /* protobuf families that part are one frame each, however large */
    size_t *held;        /* of protobuf: where it tells the bytes of memory by which it holds back what is not whole */
};

/*
 * The functions answer 0, an enum ss_filter_condition whose error they filled, or a negative errno value. A record is
 * given out as soon as it is whole, so that all ways of cutting a body give the same records.
 */
struct format {
    const char *name;
    int (*begin)(void **statep, const struct format *format, const struct format_settings *settings);
    int (*feed)(void *state, struct ss_span in, const struct records *out);
    int (*end)(void *state, const struct records *out);
    bool (*ends_whole)(const void *state);
    void (*free)(void *state);
};

extern const struct format format_text;  /* text/plain */
extern const struct format format_guess; /* read as text, but may be OpenMetrics: a last # EOF goes to every shard */
extern const struct format format_openmetrics; /* application/openmetrics-text */
extern const struct format format_protobuf;    /* application/vnd.google.protobuf, delimited */

/* The format of a response's Content-Type, by its media type alone, as Prometheus chooses; format_guess for an unknown
 * one. */
const struct format *format_of(const char *content_type);

#endif
