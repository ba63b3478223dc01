/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole filter against itself: a body in pieces gives what it gives whole; and its shards together have every byte
 * once, or all fail. The first byte chooses the format, the second how it is cut.
 */
#include <scrapeshard/filter.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const content_types[] = {
    "text/plain; version=0.0.4",
    "application/openmetrics-text; version=1.0.0",
    "text/html",
    "application/vnd.google.protobuf",
};

enum { SHARDS = 3, MAX_LINE = 200 };

struct result {
    int status;
    char *bytes;
    size_t len;
    struct ss_filter_counts counts;
};

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static int
take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct result *r = ctx;
    for (size_t i = 0; i < n; i++) {
        memcpy(r->bytes + r->len, spans[i].ptr, spans[i].len);
        r->len += spans[i].len;
    }
    return 0;
}

/* Filters the body; seed 0 gives it whole, any other in pieces of sizes that follow from the seed. */
static struct result
filter(struct ss_span body, const char *content_type, const struct ss_shards *shards, unsigned seed)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct result r = {.bytes = malloc(body.len + 8)};
    struct ss_sink sink = {take, &r};
    struct ss_filter *filter;

    settings.content_type = content_type;
    settings.shards = shards;
    settings.max_line = MAX_LINE;
    REQUIRE(r.bytes && !ss_filter_new(&filter, &settings));
    while (body.len && !r.status) {
        size_t n = body.len;
        if (seed) {
            seed = seed * 1103515245u + 12345u;
            n = 1 + (seed >> 16) % (seed >> 28 ? 7 : 300);
        }
        struct ss_span piece = {body.ptr, n < body.len ? n : body.len};
        r.status = ss_filter_feed(filter, piece, &sink);
        body.ptr += piece.len;
        body.len -= piece.len;
    }
    if (!r.status)
        r.status = ss_filter_end(filter, &sink);
    REQUIRE(r.status >= 0 && !r.status == !ss_filter_error(filter));
    r.counts = *ss_filter_counts(filter);
    ss_filter_free(filter);
    return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *type = content_types[data[0] % 4];
    struct ss_span body = {(const char *)data + 2, size - 2};
    struct result all = filter(body, type, NULL, 0);
    size_t kept = 0, series = 0, families = 0;

    for (int s = 0; s < SHARDS; s++) {
        char digit = (char)('0' + s);
        struct ss_shards_error error;
        struct ss_shards *shards;
        REQUIRE(!ss_shards_parse(&shards, (struct ss_span){&digit, 1}, SHARDS, &error));
        struct result whole = filter(body, type, shards, 0), pieces = filter(body, type, shards, 1u + data[1]);
        REQUIRE(whole.status == all.status && pieces.status == all.status);
        if (!all.status) {
            REQUIRE(whole.len == pieces.len && !memcmp(whole.bytes, pieces.bytes, whole.len));
            REQUIRE(!memcmp(&whole.counts, &pieces.counts, sizeof(whole.counts)));
            kept += whole.len;
        }
        series += whole.counts.series_kept;
        families += whole.counts.families_kept;
        free(whole.bytes);
        free(pieces.bytes);
        ss_shards_free(shards);
    }
    if (!all.status) {
        REQUIRE(all.len == body.len && !memcmp(all.bytes, body.ptr, body.len));
        /* The end marker, with or without its LF, is in every shard. */
        size_t twice = kept - body.len;
        REQUIRE(twice == 0 || twice == 2 * 5 || twice == 2 * 6);
        REQUIRE(series == all.counts.series_seen && families == all.counts.families_seen);
    }
    free(all.bytes);
    return 0;
}
