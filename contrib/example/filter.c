/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets a service written in C return a shard of its own metrics. Reads a body, writes one shard of it:
 *
 *     cc filter.c $(pkg-config --cflags --libs scrapeshard) -o filter
 *     ./filter 3 80 <body
 */
#include <scrapeshard/filter.h>

#include <stdio.h>
#include <string.h>

static int
put(void *ctx, const struct ss_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fwrite(spans[i].ptr, 1, spans[i].len, ctx) != spans[i].len)
            return -1;
    return 0;
}

static int
filter_body(FILE *in, FILE *out, const struct ss_shards *shards)
{
    static char buffer[65536];
    struct ss_sink sink = {put, out};
    struct ss_filter *filter = NULL;
    struct ss_filter_settings settings = ss_filter_settings_default();
    settings.shards = shards;
    int r = ss_filter_new(&filter, &settings);
    for (size_t n; !r && (n = fread(buffer, 1, sizeof(buffer), in)) > 0;)
        r = ss_filter_feed(filter, (struct ss_span){buffer, n}, &sink);
    if (!r)
        r = ss_filter_end(filter, &sink);
    if (filter && ss_filter_error(filter))
        fprintf(stderr, "%s\n", ss_filter_error(filter)->reason);
    ss_filter_free(filter);
    return r;
}

int
main(int argc, char **argv)
{
    struct ss_shards *shards = NULL;
    struct ss_shards_error error = {"usage: filter SHARD COUNT"};
    uint32_t count = 0;
    if (argc != 3 || ss_shard_count_parse(&count, (struct ss_span){argv[2], strlen(argv[2])}, &error) ||
        ss_shards_parse(&shards, (struct ss_span){argv[1], strlen(argv[1])}, count, &error)) {
        fprintf(stderr, "%s\n", error.reason);
        return 2;
    }
    int r = filter_body(stdin, stdout, shards);
    ss_shards_free(shards);
    return r ? 1 : 0; /* on failure the output is incomplete: do not use it */
}
