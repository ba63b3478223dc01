/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What explain says of a series against where the filter puts it: a series that is explained is a line of text, a value
 * behind it, which is in the shard that was told; what cannot be explained is no such line. The first byte chooses the
 * key and the rules.
 */
#include "require.h"

#include <scrapeshard/filter.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COUNT = 7, PLANS = 8 };

static struct ss_sharding *
sharding_of(unsigned n)
{
    static struct ss_sharding *made[PLANS];
    static const char *const patterns[] = {"d.*", "keep|[a-y].*", "r.*|i_info", "(c)(.*)", "s.*|.*_bucket"};
    const struct ss_span labels[] = {{"a", 1}, {"__name__", 8}, {"b.c", 3}};
    struct ss_sharding_settings settings = ss_sharding_settings_default();

    if (made[n])
        return made[n];
    settings.key = n % 4;
    settings.source_labels = labels;
    settings.n_source_labels = 3;
    if (n >= 4) {
        REQUIRE(!ss_rules_new(&settings.rules));
        for (enum ss_action action = SS_ACTION_DROP; action <= SS_ACTION_SPLIT; action++) {
            struct ss_rule_error error;
            struct ss_span pattern = {patterns[action], strlen(patterns[action])};
            REQUIRE(!ss_rules_add(settings.rules, action, pattern, &error));
        }
    }
    REQUIRE(!ss_sharding_new(&made[n], &settings));
    return made[n];
}

static int
count(void *ctx, const struct ss_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *(size_t *)ctx += spans[i].len;
    return 0;
}

/* How many bytes of a line a shard gets; *statusp is what the filter answered. */
static size_t
kept(struct ss_span line, struct ss_sharding *sharding, uint32_t shard, int *statusp)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_shards_error error;
    struct ss_shards *shards;
    struct ss_filter *filter;
    char digit = (char)('0' + shard);
    size_t bytes = 0;
    struct ss_sink sink = {count, &bytes};

    REQUIRE(!ss_shards_parse(&shards, (struct ss_span){&digit, 1}, COUNT, &error));
    settings.shards = shards;
    settings.sharding = sharding;
    REQUIRE(!ss_filter_new(&filter, &settings));
    *statusp = ss_filter_feed(filter, line, &sink);
    if (!*statusp)
        *statusp = ss_filter_end(filter, &sink);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return bytes;
}

static void
require_place(const struct ss_explanation *e, struct ss_sharding *sharding, struct ss_span line)
{
    uint32_t shard = ss_sharding_place(sharding, e->hash, COUNT);
    for (uint32_t s = 0; s < COUNT; s++) {
        bool nowhere = e->action && (!strcmp(e->action, "drop") || !strcmp(e->action, "keep"));
        bool everywhere = e->action && !strcmp(e->action, "replicate");
        int status;
        size_t bytes = kept(line, sharding, s, &status);
        REQUIRE(!status && bytes == (nowhere || (s != shard && !everywhere) ? 0 : line.len));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct ss_sharding *sharding = sharding_of(data[0] % PLANS);
    struct ss_span series = {(const char *)data + 1, size - 1};
    struct ss_explanation e;
    int r = ss_explain(sharding, series, &e);
    REQUIRE(!r || (r > 0 && *e.reason));

    /* A comment, or more than one line, is none to the filter that looks at lines. */
    size_t blanks = 0;
    while (blanks < series.len && memchr(" \t", series.ptr[blanks], 2))
        blanks++;
    char *text = malloc(series.len + 3);
    REQUIRE(text);
    memcpy(text, series.ptr, series.len);
    memcpy(text + series.len, " 0\n", 3);
    if (blanks < series.len && series.ptr[blanks] != '#' && !memchr(series.ptr, '\n', series.len)) {
        int status;
        if (!r)
            require_place(&e, sharding, (struct ss_span){text, series.len + 3});
        else
            REQUIRE(kept((struct ss_span){text, series.len + 3}, sharding, 0, &status) == 0 && status);
    }
    free(text);
    return 0;
}
