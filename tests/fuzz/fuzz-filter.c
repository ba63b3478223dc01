/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the filter with itself: a body in pieces gives the same as whole, and as an index of it; its shards together
 * have every byte of the whole, once except for what goes to all of them, or all fail. The first byte selects the
 * format, the key and the rules, the second how the body is cut.
 */
#include "fuzz.h"

#include <scrapeshard/index.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SHARDS = 3, MAX_LINE = 700 };

struct rule {
    enum ss_action action;
    const char *pattern;
};

static const struct plan {
    enum ss_key key;
    enum ss_hash hash;
    enum ss_placement placement;
    const char *labels[3];
    struct rule rules[5]; /* terminated by one without a pattern */
} plans[] = {
    {.key = SS_KEY_FAMILY},
    {.key = SS_KEY_DECLARED},
    {.key = SS_KEY_NAME, .hash = SS_HASH_MD5},
    {.key = SS_KEY_LABELS, .placement = SS_PLACE_JUMP, .labels = {"a"}},
    {.key = SS_KEY_LABELS, .hash = SS_HASH_MD5, .labels = {"b", "__name__", "b"}},
    {.key = SS_KEY_FAMILY,
     .rules = {{SS_ACTION_DROP, "d.*|.*_created"},
               {SS_ACTION_REPLICATE, "r.*|target_info"},
               {SS_ACTION_COLOCATE, "(c|go|node).*"},
               {SS_ACTION_SPLIT, "[f-p].*"}}},
    {.key = SS_KEY_NAME,
     .rules = {{SS_ACTION_KEEP, "[a-m\"].*"}, {SS_ACTION_REPLICATE, ".*_sum"}, {SS_ACTION_SPLIT, "a|.*_bucket"}}},
    {.key = SS_KEY_DECLARED,
     .placement = SS_PLACE_JUMP,
     .rules = {{SS_ACTION_DROP, ".*_bucket"}, {SS_ACTION_COLOCATE, "(.)(_.*)?"}, {SS_ACTION_SPLIT, ".*"}}},
    {.key = SS_KEY_LABELS, .labels = {"a", "b"}, .rules = {{SS_ACTION_SPLIT, "[a-k].*"}, {SS_ACTION_REPLICATE, "l.*"}}},
    {.key = SS_KEY_FAMILY, .rules = {{SS_ACTION_DROP, "{a=~\"[0-9]{1,3}|.*x\",b!=\"c\"}"}}},
    {.key = SS_KEY_FAMILY,
     .rules = {{SS_ACTION_REPLICATE, "[a-m].*{mode!~\"idle|user\"}"},
               {SS_ACTION_KEEP, ".*{a!=\"1\"}"},
               {SS_ACTION_DROP, ".*_total{code=~\"2..\"}"},
               {SS_ACTION_COLOCATE, "(c|go|node).*"}}},
    {.key = SS_KEY_DECLARED, .rules = {{SS_ACTION_REPLICATE, "{a=\"\",device!=\"\"}"}, {SS_ACTION_KEEP, "[^u].*"}}},
    {.key = SS_KEY_LABELS,
     .hash = SS_HASH_MD5,
     .labels = {"b"},
     .rules = {{SS_ACTION_DROP, "{a=~\".*[02468]\"}"}, {SS_ACTION_REPLICATE, "x{\"b\"=\"\"}"}}},
};

enum { PLANS = sizeof(plans) / sizeof(plans[0]) };

static struct ss_span
span_of(const char *text)
{
    return (struct ss_span){text, strlen(text)};
}

/* The sharding of a plan; created once, as in a long-running sidecar. */
static struct ss_sharding *
sharding_of(size_t n)
{
    static struct ss_sharding *made[PLANS];
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    const struct plan *plan = &plans[n];
    struct ss_span labels[3];

    if (made[n])
        return made[n];
    REQUIRE(!ss_rules_new(&settings.rules));
    for (const struct rule *rule = plan->rules; rule->pattern; rule++) {
        struct ss_rule_error error;
        REQUIRE(!ss_rules_add(settings.rules, rule->action, span_of(rule->pattern), &error));
    }
    for (; settings.n_source_labels < 3 && plan->labels[settings.n_source_labels]; settings.n_source_labels++)
        labels[settings.n_source_labels] = span_of(plan->labels[settings.n_source_labels]);
    settings.source_labels = labels;
    settings.key = plan->key;
    settings.hash = plan->hash;
    settings.placement = plan->placement;
    REQUIRE(!ss_sharding_new(&made[n], &settings));
    return made[n];
}

/* The keys of the bodies before, as if all came from one source. */
static struct ss_key_cache *
cache_of(const struct ss_sharding *sharding)
{
    static struct {
        const struct ss_sharding *sharding;
        struct ss_key_cache *cache;
    } made[PLANS];
    size_t i = 0;
    while (made[i].sharding && made[i].sharding != sharding)
        i++;
    if (!made[i].sharding)
        REQUIRE(!ss_key_cache_new(&made[i].cache, 2000));
    made[i].sharding = sharding;
    return made[i].cache;
}

/* Filters the body; seed 0: whole, else in pieces of sizes derived from the seed, and with a cache of keys. */
static struct result
filter(struct ss_span body, const struct ss_filter_settings *settings, const struct ss_shards *shards, unsigned seed)
{
    struct ss_filter_settings own = *settings;
    struct result r = {.status = 0};
    struct ss_sink sink = {result_take, &r};
    struct ss_filter *filter;

    own.shards = shards;
    own.key_cache = seed ? cache_of(own.sharding) : NULL;
    REQUIRE(!ss_filter_new(&filter, &own));
    while (body.len && !r.status)
        r.status = ss_filter_feed(filter, next_piece(&body, &seed), &sink);
    if (!r.status)
        r.status = ss_filter_end(filter, &sink);
    REQUIRE(r.status >= 0 && !r.status == !ss_filter_error(filter));
    r.counts = *ss_filter_counts(filter);
    ss_filter_free(filter);
    return r;
}

static void
require_same(const struct result *a, const struct result *b)
{
    REQUIRE(a->status == b->status);
    REQUIRE(a->status || (a->len == b->len && (!a->len || !memcmp(a->bytes, b->bytes, a->len))));
    REQUIRE(a->status || !memcmp(&a->counts, &b->counts, sizeof(a->counts)));
}

/* Checks that an index gives the same, with lists for this shard count or another; index is NULL if the body could
   not be indexed. */
static void
require_index(struct ss_index *index, const struct ss_shards *shards, const struct result *wanted)
{
    REQUIRE(!index == !!wanted->status);
    for (uint32_t count = SHARDS; index && count <= SHARDS + 1; count++) {
        struct result r = {.status = 0};
        struct ss_sink sink = {result_take, &r};
        REQUIRE(!ss_index_build_shard_lists(index, count));
        REQUIRE(!ss_index_select(index, shards, &sink, &r.counts));
        require_same(&r, wanted);
        free(r.bytes);
    }
}

static struct ss_index *
index_of(struct ss_span body, const struct ss_filter_settings *settings)
{
    struct ss_index *index;
    REQUIRE(!ss_index_new(&index, settings));
    if (!ss_index_feed(index, body) && !ss_index_end(index))
        return index;
    REQUIRE(ss_index_error(index));
    ss_index_free(index);
    return NULL;
}

/* The sums over all shards, to compare with the whole. */
struct sum {
    size_t kept;
    uint64_t series;
};

static void
add(struct sum *sum, const struct result *r)
{
    sum->kept += r->len;
    sum->series += r->counts.series_kept;
}

/* What an index says of series that are in no shard, or in every shard. */
struct others {
    uint64_t dropped, dropped_bytes, replicated;
};

static void
add_others(void *ctx, const struct ss_index_part *part)
{
    struct others *others = ctx;
    if (part->route == SS_INDEX_NONE) {
        others->dropped += part->series;
        others->dropped_bytes += part->bytes;
    }
    if (part->route == SS_INDEX_ALL)
        others->replicated += part->series;
}

/* Checks the union of a plan's shards: with what is dropped it is the body, and what is replicated is in all. */
static void
require_union(const struct plan *plan, struct ss_span body, bool lines, const struct ss_index *index,
              const struct result *all, const struct sum *sum)
{
    size_t twice = sum->kept - all->len;
    struct others others = {0, 0, 0};
    ss_index_visit(index, add_others, &others);
    REQUIRE(all->counts.series_seen == all->counts.series_kept + others.dropped);
    REQUIRE(sum->series == all->counts.series_kept + (SHARDS - 1) * others.replicated);
    REQUIRE(!lines || body.len == all->len + others.dropped_bytes);
    if (plan->rules[0].pattern)
        return;
    REQUIRE(all->len == body.len && (!body.len || !memcmp(all->bytes, body.ptr, body.len)));
    if (plan->key == SS_KEY_FAMILY || plan->key == SS_KEY_DECLARED)
        /* The end marker, with or without LF, is in every shard. */
        REQUIRE(twice == 0 || twice == 2 * 5 || twice == 2 * 6);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t n = rest_of(data[0]) % PLANS;
    struct ss_filter_settings settings = ss_filter_settings_default();
    settings.content_type = content_types[format_of(data[0])];
    settings.max_line = MAX_LINE;
    settings.sharding = sharding_of(n);
    struct ss_span body = {(const char *)data + 2, size - 2};
    struct ss_index *index = index_of(body, &settings);
    struct result all = filter(body, &settings, NULL, 0);
    struct sum sum = {0, 0};

    require_index(index, NULL, &all);
    for (int s = 0; s < SHARDS; s++) {
        char digit = (char)('0' + s);
        struct ss_shards_error error;
        struct ss_shards *shards;
        REQUIRE(!ss_shards_parse(&shards, (struct ss_span){&digit, 1}, SHARDS, &error));
        struct result whole = filter(body, &settings, shards, 0),
                      pieces = filter(body, &settings, shards, 1u + data[1]);
        REQUIRE(whole.status == all.status);
        require_same(&whole, &pieces);
        require_index(index, shards, &whole);
        add(&sum, &whole);
        free(whole.bytes);
        free(pieces.bytes);
        ss_shards_free(shards);
    }
    if (!all.status)
        require_union(&plans[n], body, data[0] % FORMATS != PROTOBUF, index, &all, &sum);
    free(all.bytes);
    ss_index_free(index);
    return 0;
}
