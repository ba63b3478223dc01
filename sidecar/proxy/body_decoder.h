/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_BODY_DECODER_H
#define PROXY_BODY_DECODER_H
/*
 * The first stage of a body from an upstream, without a socket: gunzip and the limit of bytes. It is part of the two
 * ways that a body can go, body_filter.h and body_index.h, and has what they share.
 */
#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stdint.h>

struct gunzip;

/* Conditions of a body; positive, as opposed to negative errno values. */
enum body_condition {
    BODY_NO_EXPOSITION = 1,
    BODY_TRUNCATED,
    BODY_TOO_LARGE,
    BODY_LINE_TOO_LONG,
    BODY_TOO_MANY_SERIES,
    BODY_TOO_MANY_FAMILIES,
    BODY_BAD_ENCODING,
    BODY_UNDECIDED, /* the shard of a record cannot be determined */
};

struct body_settings {
    bool passthrough;               /* the body passes unchanged; of the others only max_body applies */
    const char *content_type;       /* not kept */
    struct ss_sharding *sharding;   /* borrowed while the body lives */
    struct ss_key_cache *key_cache; /* likewise; or NULL */
    size_t max_line;
    uint64_t max_series, max_families; /* 0: unlimited */
    uint64_t max_body;                 /* applies to the received and to the decoded bytes */
    bool strict_close;
    bool gunzip; /* the received bytes are compressed */
};

struct body_decoder {
    struct gunzip *gunzip; /* NULL: the bytes are not compressed */
    uint64_t max_body, max_series, bytes_in, bytes_decoded;
    bool strict_close;
    char reason[380]; /* describes the condition that was returned */
};

/* 0 or -ENOMEM; either way body_decoder_deinit() follows. */
int body_decoder_init(struct body_decoder *decoder, const struct body_settings *settings);

/*
 * Consumes bytes from the front of *in and returns the next decoded ones, borrowed until the next call. *morep: call
 * again with the rest of *in, even if that is empty: a few compressed bytes may be very many. 0, a condition, or
 * -ENOMEM.
 */
int body_decode(struct body_decoder *decoder, struct ss_span *in, struct ss_span *out, bool *morep);

/* The body has ended. 0 or a condition. */
int body_decoder_end(struct body_decoder *decoder);

/* by_close: only a closed connection marked the body's end; ends_whole: it can end there. 0 or a condition. */
int body_check_close(struct body_decoder *decoder, bool by_close, bool ends_whole);

/* Returns the condition. */
int body_fail(struct body_decoder *decoder, enum body_condition condition, const char *reason);

/* The condition for what a filter or index returned, whose error is given; 0 and negative values stay. */
int body_result(struct body_decoder *decoder, int r, const struct ss_filter_error *error, uint64_t series);

/* The settings as those of the core. */
struct ss_filter_settings body_core_settings(const struct body_settings *settings);

void body_decoder_deinit(struct body_decoder *decoder);

#endif
