/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the explanation of a series with where the filter puts it: a series that is explained is, with a value, a
 * line of text in the explained shard; one that is not explained is not a valid line. In OpenMetrics it may have an
 * exemplar, whose labels do not count, and in 2.0 a composite value. The first byte selects the key and the rules.
 */
#include "require.h"

#include <scrapeshard/filter.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COUNT = 7, PLANS = 16 };

static struct ss_sharding *
sharding_of(unsigned n)
{
    static struct ss_sharding *made[PLANS];
    static const char *const patterns[] = {"d.*", "keep|[a-y].*", "r.*|i_info", "(c)(.*)", "s.*|.*_bucket"};
    const struct ss_span labels[] = {{"a", 1}, {"__name__", 8}, {"b.c", 3}, {"a", 1}};
    struct ss_sharding_settings settings = ss_sharding_settings_default();

    if (made[n])
        return made[n];
    settings.key = n % 4;
    settings.source_labels = labels;
    settings.n_source_labels = 4;
    settings.hash = n < 8 ? SS_HASH_XXH64 : SS_HASH_MD5;
    if (n & 4) {
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

/* How many bytes of a body a shard gets; *statusp is what the filter returned. */
static size_t
kept(struct ss_span body, const char *content_type, struct ss_sharding *sharding, uint32_t shard, int *statusp)
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
    settings.content_type = content_type;
    REQUIRE(!ss_filter_new(&filter, &settings));
    *statusp = ss_filter_feed(filter, body, &sink);
    if (!*statusp)
        *statusp = ss_filter_end(filter, &sink);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return bytes;
}

/* A series with the rest of its line, and more that goes to all shards. */
struct written {
    char *text;
    size_t line, all;
};

static struct written
write_line(struct ss_span series, const char *rest, const char *to_all)
{
    size_t line = series.len + strlen(rest), all = line + strlen(to_all);
    struct written w = {malloc(all), line, all};
    REQUIRE(w.text);
    memcpy(w.text, series.ptr, series.len);
    memcpy(w.text + series.len, rest, line - series.len);
    memcpy(w.text + line, to_all, all - line);
    return w;
}

/* Checks that the line is in the explained shard; or is rejected, where it may be. */
static void
require_place(const struct ss_explanation *e, struct ss_sharding *sharding, const struct written *w,
              const char *content_type, bool refusable)
{
    uint32_t shard = ss_sharding_place(sharding, e->hash, COUNT);
    for (uint32_t s = 0; s < COUNT; s++) {
        bool nowhere = e->action && (!strcmp(e->action, "drop") || !strcmp(e->action, "keep"));
        bool everywhere = e->action && !strcmp(e->action, "replicate");
        int status;
        size_t bytes = kept((struct ss_span){w->text, w->all}, content_type, sharding, s, &status);
        if (status > 0 && refusable)
            continue;
        REQUIRE(!status && bytes == w->all - (nowhere || (s != shard && !everywhere) ? w->line : 0));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char openmetrics[] = "application/openmetrics-text",
                      openmetrics_2[] = "application/openmetrics-text;version=2.0.0";
    if (!size)
        return 0;
    struct ss_sharding *sharding = sharding_of(data[0] % PLANS);
    struct ss_span series = {(const char *)data + 1, size - 1};
    struct ss_explanation e;
    int r = ss_explain(sharding, series, &e);
    REQUIRE(!r || (r > 0 && *e.reason));

    /* The filter does not see a comment, or several lines, as a sample. */
    size_t blanks = 0;
    while (blanks < series.len && memchr(" \t", series.ptr[blanks], 2))
        blanks++;
    if (blanks == series.len || series.ptr[blanks] == '#' || memchr(series.ptr, '\n', series.len))
        return 0;
    struct written plain = write_line(series, " 0\n", ""),
                   exemplar = write_line(series, " 0 # {z=\"1\",a=\"2\"} 1\n", "# EOF\n"),
                   composite = write_line(series, " {count:1,sum:2} st@1 # {a=\"2\"} 1 1\n", "# EOF\n");
    int status;
    if (!r) {
        require_place(&e, sharding, &plain, NULL, false);
        /* After a blank, OpenMetrics 2.0 has values in braces. */
        if (!memmem(series.ptr, series.len, " {", 2)) {
            require_place(&e, sharding, &exemplar, openmetrics, true);
            require_place(&e, sharding, &composite, openmetrics_2, true);
        }
    } else {
        REQUIRE(kept((struct ss_span){plain.text, plain.all}, NULL, sharding, 0, &status) == 0 && status);
    }
    free(plain.text);
    free(exemplar.text);
    free(composite.text);
    return 0;
}
