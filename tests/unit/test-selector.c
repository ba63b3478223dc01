/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors of rules: where they start, what is wrong with them, and which series they select in each format. */
#include "splitting.h"

#include "core/key/selector.h"

#include <errno.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"

static struct ss_span
span_of(const char *text)
{
    return (struct ss_span){text, strlen(text)};
}

/* The brace that starts a selector; every other one belongs to the pattern. */
static void
test_where_a_selector_starts(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        const char *selector; /* NULL: it has none */
    } cases[] = {
        {"a", NULL},
        {"a{2,3}", NULL},
        {"a{2}", NULL},
        {"a{2,}", NULL},
        {"a{,3}", NULL},
        {"a{ 2, 3 }", NULL},
        {"a{}", "{}"},
        {"a{ } ", "{ } "},
        {"a{}b", NULL},
        {"a{b}", NULL},
        {"a{b", NULL},
        {"a{", NULL},
        {"a{b=\"c\"}", "{b=\"c\"}"},
        {"a{ b =~ \"c\" }", "{ b =~ \"c\" }"},
        {"a{b!=\"c\"}", "{b!=\"c\"}"},
        {"a{b!~'c'}", "{b!~'c'}"},
        {"a{b!}", NULL},
        {"a{2b=\"c\"}", NULL},
        {"a{\"b c\"=\"d\"}", "{\"b c\"=\"d\"}"},
        {"a{\"b c\"}", NULL},
        {"a{\"b", NULL},
        {"{b=\"c\"}", "{b=\"c\"}"},
        {"a{2,3}{b=\"c{2}\"}", "{b=\"c{2}\"}"},
        {"(a|b){1,2}_{_b1=\"\"}", "{_b1=\"\"}"},
        {"a\\{b=\"c\"}", NULL},
        {"a\\\\{b=\"c\"}", "{b=\"c\"}"},
        {"a[{b=]\"c\"}", NULL},
        {"a[]{b=]", NULL},
        {"a[^]{b=]{c=\"d\"}", "{c=\"d\"}"},
        {"a[[:alpha:]{b=]+", NULL},
        {"a[[:alpha:]]+{b=\"\"}", "{b=\"\"}"},
        {"a[\\]{b=]", NULL},
        {"a[\\Q]\\E{b=]", NULL},
        {"a[{b=\"c\"}", NULL}, /* whose class has no end */
        {"\\p{scx=Greek}+", NULL},
        {"\\P{sc=Greek}{b=\"\"}", "{b=\"\"}"},
        {"\\d{b=\"\"}", "{b=\"\"}"},
        {"\\Qa{b=\"c\"}\\E", NULL},
        {"\\Qa{b=\"c\"}", NULL},
        {"\\Qa\\E{b=\"c\"}", "{b=\"c\"}"},
        {"a(?#{b=)", NULL},
        {"a\\", NULL},
        {"a{b=\"c\"}_total", "{b=\"c\"}_total"}, /* an error, not a pattern */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guarded memory = guarded_new(64);
        struct ss_span rule = guarded_put(&memory, span_of(cases[i].rule));
        size_t at = selector_find(rule), wanted = rule.len - (cases[i].selector ? strlen(cases[i].selector) : 0);
        if (at != wanted)
            fail_msg("%s: a selector at %zu, and not at %zu", cases[i].rule, at, wanted);
        guarded_free(&memory);
    }
}

static void
test_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        enum ss_action action;
        const char *rule;
        size_t offset;
        const char *reason;
    } wrong[] = {
        {SS_ACTION_DROP, "a{le=\"1\"}", 2, "le cannot be selected"},
        {SS_ACTION_KEEP, "a{b=\"1\",quantile!~\"0.5\"}", 8, "quantile cannot be selected"},
        {SS_ACTION_KEEP, "a{\"le\"=\"1\"}", 2, "le cannot be selected"},
        {SS_ACTION_REPLICATE, "a{__name__=\"b\"}", 2, "__name__ cannot be selected, expected a pattern of names"},
        {SS_ACTION_DROP, "{}", 0, "expected a pattern of names or a label"},
        {SS_ACTION_DROP, "a{b=\"c\"", 7, "expected a comma or }"},
        {SS_ACTION_DROP, "a{b=\"c\" d=\"e\"}", 8, "expected a comma or }"},
        {SS_ACTION_DROP, "a{b=\"c\",", 8, "expected a label name, or }"},
        {SS_ACTION_DROP, "a{b=\"c\",,}", 8, "expected a label name, or }"},
        {SS_ACTION_DROP, "a{b=c}", 4, "expected a quoted value"},
        {SS_ACTION_DROP, "a{b=\"c\",d}", 9, "expected =, !=, =~ or !~"},
        {SS_ACTION_DROP, "a{b==\"c\"}", 4, "expected a quoted value"},
        {SS_ACTION_DROP, "a{b=\"c}", 4, "unterminated string"},
        {SS_ACTION_DROP, "a{b=\"c\\\"}", 4, "unterminated string"},
        {SS_ACTION_DROP, "a{b=\"\\d\"}", 4, "unknown escape"},
        {SS_ACTION_DROP, "a{b=\"c\"}_total", 8, "unexpected text after the selector"},
        {SS_ACTION_DROP, "a{b=~\"c(d\"}", 9, "missing closing parenthesis"},
        {SS_ACTION_DROP, "a{b=~\"\\x63(d\"}", 5, "missing closing parenthesis"}, /* where its string starts */
        {SS_ACTION_DROP, "a(b{b=\"c\"}", 3, "missing closing parenthesis"},
        {SS_ACTION_SPLIT, "a{b=\"c\"}", 1, "this rule takes no selector"},
        {SS_ACTION_COLOCATE, "(a){b=\"c\"}", 3, "this rule takes no selector"},
        {SS_ACTION_COLOCATE, "all: a{b=\"c\"}", 6, "this rule takes no selector"},
    };
    struct ss_rules *rules;
    assert_int_equal(ss_rules_new(&rules), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ss_rule_error error = {.offset = 99};
        int r = ss_rules_add(rules, wrong[i].action, span_of(wrong[i].rule), &error);
        if (r != EINVAL || error.offset != wrong[i].offset || !strstr(error.reason, wrong[i].reason))
            fail_msg("%s: %d at %zu, %s", wrong[i].rule, r, error.offset, r ? error.reason : "");
    }
    ss_rules_free(rules);
}

/* Drops a name with a label, or with none (-1). */
static int
add_drop(struct ss_rules *rules, int label, struct ss_rule_error *error)
{
    char rule[64];
    if (label < 0)
        snprintf(rule, sizeof(rule), "a");
    else
        snprintf(rule, sizeof(rule), "a%d{a%d=\"\"}", label, label);
    return ss_rules_add(rules, SS_ACTION_DROP, span_of(rule), error);
}

static void
test_limits(void **state)
{
    (void)state;
    struct ss_rules *rules;
    struct ss_rule_error error;

    assert_int_equal(ss_rules_new(&rules), 0);
    for (int i = 0; i < CORE_MAX_SELECTOR_LABELS; i++)
        assert_int_equal(add_drop(rules, i, &error), 0);
    assert_int_equal(add_drop(rules, 1, &error), EINVAL);
    assert_non_null(strstr(error.reason, "more than 64 rules with a selector"));
    /* A rule without one counts for nothing. */
    assert_int_equal(add_drop(rules, -1, &error), 0);
    assert_int_equal(ss_rules_add(rules, SS_ACTION_DROP, SPAN("a{}"), &error), 0);
    ss_rules_free(rules);

    char many[1024], *at = many + sprintf(many, "a{");
    assert_int_equal(ss_rules_new(&rules), 0);
    for (int i = 0; i <= CORE_MAX_SELECTOR_LABELS; i++)
        at += sprintf(at, "a%d=\"\",", i);
    sprintf(at, "}");
    assert_int_equal(ss_rules_add(rules, SS_ACTION_DROP, span_of(many), &error), EINVAL);
    assert_non_null(strstr(error.reason, "more than 64 different labels"));
    ss_rules_free(rules);

    char *longest = malloc(CORE_MAX_SELECTOR_BYTES + 2);
    assert_int_equal(ss_rules_new(&rules), 0);
    for (size_t len = CORE_MAX_SELECTOR_BYTES; len <= CORE_MAX_SELECTOR_BYTES + 1; len++) {
        memset(longest, 'c', len);
        memcpy(longest, "{b=\"", 4);
        memcpy(longest + len - 2, "\"}", 2);
        assert_int_equal(ss_rules_add(rules, SS_ACTION_DROP, (struct ss_span){longest, len}, &error),
                         len > CORE_MAX_SELECTOR_BYTES ? EINVAL : 0);
    }
    assert_non_null(strstr(error.reason, "longer than 4096 bytes"));
    free(longest);
    ss_rules_free(rules);
}

/* Rules, "action pattern", NULL-terminated. */
static struct sharding
sharding_of_rules(const char *const *lines, enum ss_key key)
{
    const struct ss_span label = SPAN("job");
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct sharding s;
    assert_int_equal(ss_rules_new(&s.rules), 0);
    for (; *lines; lines++) {
        struct ss_rule_error error;
        enum ss_action action = SS_ACTION_DROP;
        while (strncmp(ss_action_name(action), *lines, strlen(ss_action_name(action))) != 0)
            action++;
        char *pattern = strdup(strchr(*lines, ' ') + 1);
        if (ss_rules_add(s.rules, action, span_of(pattern), &error))
            fail_msg("%s: %s", *lines, error.reason);
        memset(pattern, 'x', strlen(pattern)); /* it is copied */
        free(pattern);
    }
    settings.key = key;
    settings.rules = s.rules;
    settings.source_labels = &label;
    settings.n_source_labels = 1;
    assert_int_equal(ss_sharding_new(&s.sharding, &settings), 0);
    return s;
}

static void
check_action(const char *const *lines, const char *series, const char *action)
{
    struct sharding s = sharding_of_rules(lines, SS_KEY_FAMILY);
    struct ss_explanation e;
    assert_int_equal(ss_explain(s.sharding, span_of(series), &e), 0);
    if (!e.action != !action || (action && strcmp(e.action, action) != 0))
        fail_msg("%s: %s, and not %s", series, e.action ? e.action : "no rule", action ? action : "none");
    sharding_end(&s);
}

static void
test_which_series(void **state)
{
    (void)state;
    static const struct {
        const char *rules[4];
        const char *series, *action;
    } cases[] = {
        {{"drop a{b=\"c\"}"}, "a{b=\"c\"}", "drop"},
        {{"drop a{b=\"c\"}"}, "a_total{x=\"y\",b=\"c\",z=\"\"}", "drop"}, /* by its family */
        {{"drop a{b=\"c\"}"}, "a{b=\"cd\"}", NULL},
        {{"drop a{b=\"c\"}"}, "a", NULL},
        {{"drop a{b=\"c\"}"}, "ab{b=\"c\"}", NULL},
        {{"drop a{b=\"\"}"}, "a", "drop"}, /* a missing label is empty */
        {{"drop a{b=\"\"}"}, "a{b=\"\"}", "drop"},
        {{"drop a{b!=\"\"}"}, "a{c=\"b\"}", NULL},
        {{"drop a{b!=\"c\"}"}, "a{b=\"d\"}", "drop"},
        {{"drop a{b=~\"c|dd\"}"}, "a{b=\"dd\"}", "drop"},
        {{"drop a{b=~\"c|dd\"}"}, "a{b=\"ddd\"}", NULL}, /* the whole value */
        {{"drop a{b=~\"c.d\"}"}, "a{b=\"c\\nd\"}", "drop"},
        {{"drop a{b=~\"c$\"}"}, "a{b=\"c\\n\"}", NULL},
        {{"drop a{b!~\"2..\"}"}, "a{b=\"404\"}", "drop"},
        {{"drop a{b!~\"2..\"}"}, "a{b=\"204\"}", NULL},
        {{"drop a{b=~\".*\"}"}, "a", "drop"},
        {{"drop a{b=~\".+\"}"}, "a", NULL},
        {{"drop a{b=\"c\",d!=\"e\"}"}, "a{d=\"f\",b=\"c\"}", "drop"}, /* all of them */
        {{"drop a{b=\"c\",d!=\"e\"}"}, "a{d=\"e\",b=\"c\"}", NULL},
        {{"drop a{b=~\"c.*\",b!=\"cd\"}"}, "a{b=\"ce\"}", "drop"},
        {{"drop a{b=~\"c.*\",b!=\"cd\"}"}, "a{b=\"cd\"}", NULL},
        {{"drop a{b=\"c\\\"\\\\\\n\"}"}, "a{b=\"c\\\"\\\\\\n\"}", "drop"}, /* unescaped on both sides */
        {{"drop a{b='c\"'}"}, "a{b=\"c\\\"\"}", "drop"},
        {{"drop a{b=`c\\\\`}"}, "a{b=\"c\\\\\\\\\"}", "drop"},
        {{"drop a{b=\"\\u00e9\"}"}, "a{b=\"\xc3\xa9\"}", "drop"},
        {{"drop a{\"b c\"=\"d\"}"}, "a{\"b c\"=\"d\"}", "drop"},
        {{"drop a{b=\"c\"}"}, "{\"a\", b = \"c\" , }", "drop"},
        {{"drop {b=\"c\"}"}, "a{b=\"c\"}", "drop"}, /* all names */
        {{"drop {b=\"c\"}"}, "a{b=\"d\"}", NULL},
        {{"drop a{}"}, "a{b=\"c\"}", "drop"}, /* all series */
        {{"drop (a|b){2,3}{c=\"d\"}"}, "abab{c=\"d\"}", NULL},
        {{"drop (a|b){2,3}{c=\"d\"}"}, "aba{c=\"d\"}", "drop"},
        /* The order of actions, and of rules of one action. */
        {{"keep a{b=\"c\"}"}, "a{b=\"c\"}", NULL},
        {{"keep a{b=\"c\"}"}, "a{b=\"d\"}", "keep"},
        {{"keep a{b=\"c\"}"}, "x{b=\"c\"}", "keep"},
        {{"keep a{b=\"c\"}", "keep x"}, "x", NULL},
        {{"keep a{b=\"c\"}", "keep a"}, "a{b=\"d\"}", NULL},
        {{"keep a", "keep a{b=\"c\"}"}, "a{b=\"d\"}", NULL},
        {{"keep a{b=\"c\"}", "keep a{b=\"d\"}"}, "a{b=\"d\"}", NULL},
        {{"keep a{b=\"c\"}", "drop a{d=\"e\"}"}, "a{b=\"c\",d=\"e\"}", "drop"},
        {{"keep a{b=\"c\"}", "drop a"}, "a{b=\"c\"}", "drop"},
        {{"keep a", "drop a{d=\"e\"}"}, "a{d=\"f\"}", NULL},
        {{"replicate a{b=\"c\"}"}, "a{b=\"c\"}", "replicate"},
        {{"replicate a{b=\"c\"}"}, "a{b=\"d\"}", NULL},
        {{"replicate a", "drop a{b=\"c\"}"}, "a{b=\"c\"}", "drop"},
        {{"replicate a", "drop a{b=\"c\"}"}, "a", "replicate"},
        {{"replicate a{b=\"c\"}", "replicate a"}, "a", "replicate"},
        {{"replicate a{b=\"c\"}", "colocate x: a"}, "a", "colocate"},
        {{"replicate a{b=\"c\"}", "colocate x: a"}, "a{b=\"c\"}", "replicate"},
        {{"replicate a{b=\"c\"}", "split a"}, "a", "split"},
        {{"replicate a{b=\"c\"}", "keep a{d=\"e\"}"}, "a{b=\"c\"}", "keep"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_action(cases[i].rules, cases[i].series, cases[i].action);
}

/* A selector that decides about other series of the name is named. */
static void
test_what_decides_by_labels(void **state)
{
    (void)state;
    static const char *const rules[] = {"replicate a{b=\"d\"}", "keep a|x", "drop a{b=\"c\"}", NULL};
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    struct ss_explanation e;
    assert_int_equal(ss_explain(s.sharding, SPAN("a"), &e), 0);
    assert_null(e.action);
    assert_string_equal(e.label_action, "drop");
    assert_int_equal(e.label_pattern.len, strlen("a{b=\"c\"}"));
    assert_int_equal(ss_explain(s.sharding, SPAN("x"), &e), 0);
    assert_null(e.label_action);
    sharding_end(&s);
}

/* Values are remembered: more of them than that, and longer ones. */
static void
test_many_values(void **state)
{
    (void)state;
    static const char *const rules[] = {"drop a{b=~\"(v|long-.*)[0-9]*[05]\",c!~\"x[0-9]*\"}", NULL};
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            char series[200];
            bool is_long = i % 7 == 0, has_x = i % 3 == 0;
            struct ss_explanation e;
            snprintf(series, sizeof(series), "a{c=\"%c%d\",b=\"%s%d\"}", has_x ? 'x' : 'y', i,
                     is_long ? "long-0123456789012345678901234567890123456789012345678901234567-" : "v", i);
            assert_int_equal(ss_explain(s.sharding, span_of(series), &e), 0);
            if ((e.action != NULL) != (i % 5 == 0 && !has_x))
                fail_msg("%s: %s", series, e.action ? e.action : "not dropped");
        }
    }
    sharding_end(&s);
}

/* Bodies. */

/* What a shard of three, or all (NULL), has of a body. */
static void
check_shard(struct ss_span body, const char *content_type, const struct sharding *s, const char *shard,
            const char *expected)
{
    struct question q = {.content_type = content_type, .shard = shard, .count = 3, .sharding = s->sharding};
    struct outcome o = feed_all_ways(body, &q);
    assert_int_equal(o.result, 0);
    assert_string_equal(o.bytes, expected);
    outcome_free(&o);
}

#define A_META "# HELP a_total Of all.\n# TYPE a_total counter\n"
#define A_C "a_total{b=\"c\"} 1\n"
#define A_D "a_total{x=\"{b=\\\"c\\\"}\",b=\"d\"} 2\n"
#define H_META "# TYPE h histogram\n"
#define H_C "h_bucket{b=\"c\",le=\"1\"} 1\nh_bucket{le=\"+Inf\",b=\"c\"} 2\nh_sum{b=\"c\"} 3\nh_count{b=\"c\"} 2\n"
#define H_D "h_bucket{b=\"d\",le=\"1\"} 1\nh_bucket{le=\"+Inf\",b=\"d\"} 2\nh_sum{b=\"d\"} 3\nh_count{b=\"d\"} 2\n"
#define UP "up 1\n"

static const char body_text[] = A_META A_C A_D A_C H_META H_C H_D UP;

/* Of three shards, a is in shard 0, up in shard 1 and h in shard 2. */
static void
test_text(void **state)
{
    (void)state;
    static const struct {
        const char *rules[4];
        const char *all, *shards[3];
    } cases[] = {
        {{NULL}, body_text, {A_META A_C A_D A_C, UP, H_META H_C H_D}},
        {{"drop (a|h){b=\"c\"}"}, A_META A_D H_META H_D UP, {A_META A_D, UP, H_META H_D}},
        {{"drop {b=~\".+\"}"}, A_META H_META UP, {A_META, UP, H_META}},
        {{"keep {b!=\"d\"}"}, A_META A_C A_C H_META H_C UP, {A_META A_C A_C, UP, H_META H_C}},
        {{"keep h{b=\"c\"}"}, H_META H_C, {"", "", H_META H_C}},
        {{"replicate (a|h){b=\"c\"}"},
         body_text,
         {A_META A_C A_D A_C H_META H_C, A_META A_C A_C H_META H_C UP, A_META A_C A_C H_META H_C H_D}},
        {{"replicate h{b=\"none\"}"}, body_text, {A_META A_C A_D A_C, UP, H_META H_C H_D}},
        {{"replicate .*", "drop a{b=\"c\"}"},
         A_META A_D H_META H_C H_D UP,
         {A_META A_D H_META H_C H_D UP, A_META A_D H_META H_C H_D UP, A_META A_D H_META H_C H_D UP}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sharding s = sharding_of_rules(cases[i].rules, SS_KEY_FAMILY);
        check_shard(SPAN(body_text), TEXT, &s, NULL, cases[i].all);
        for (int n = 0; n < 3; n++)
            check_shard(SPAN(body_text), TEXT, &s, shard_names[n], cases[i].shards[n]);
        sharding_end(&s);
    }
}

/* In OpenMetrics the metadata of a counter have not the name of its samples. */
static void
test_openmetrics(void **state)
{
    (void)state;
    static const char meta[] = "# HELP a Of all.\n# TYPE a counter\n# UNIT a \n",
                      body[] = "# HELP a Of all.\n# TYPE a counter\n# UNIT a \n" A_C A_D "# EOF\n";
    static const char *const rules[] = {"replicate a_total{b=\"c\"}", NULL};
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    char expected[200];
    snprintf(expected, sizeof(expected), "%s" A_C "# EOF\n", meta);
    check_shard(SPAN(body), OM, &s, "0", body);
    check_shard(SPAN(body), OM, &s, "1", expected);
    check_shard(SPAN(body), OM, &s, "2", expected);
    sharding_end(&s);
}

/* Malformed labels fail in every shard, whatever is selected. */
static void
test_malformed_labels(void **state)
{
    (void)state;
    static const char *const rules[] = {"drop a{b=\"c\"}", NULL};
    static const char body[] = "a{x=\"1\"} 1\na{x} 1\n";
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    for (int n = 0; n < 3; n++) {
        struct question q = {.content_type = TEXT, .shard = shard_names[n], .count = 3, .sharding = s.sharding};
        struct outcome o = feed_all_ways(SPAN(body), &q);
        assert_int_equal(o.result, SS_NO_EXPOSITION);
        assert_int_equal(o.error.line, 2);
        outcome_free(&o);
    }
    sharding_end(&s);
}

static void
test_a_match_over_the_limit(void **state)
{
    (void)state;
    static const char *const rules[] = {"drop a{b=~\"(a+)+$|(a|aa)+b\"}", NULL};
    char body[400] = "a{b=\"c\"} 1\na{b=\"";
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    memset(body + strlen(body), 'a', 300);
    strcat(body, "c\"} 1\n");
    struct outcome o =
        feed_all_ways(span_of(body), &(struct question){.content_type = TEXT, .count = 3, .sharding = s.sharding});
    assert_int_equal(o.result, SS_RULE_FAILED);
    assert_non_null(strstr(o.error.reason, "drop = a{b=~\"(a+)+$|(a|aa)+b\"}"));
    assert_int_equal(o.error.line, 2);
    outcome_free(&o);
    sharding_end(&s);
}

/* Protobuf. */

/* A family of metrics with the label id; its length is written with a byte too many. */
static void
put_family(struct writer *body, const char *ids)
{
    struct writer m = {NULL, 0};
    put_field(&m, 1, SPAN("a"));
    for (; *ids; ids++)
        put_series(&m, (char[]){*ids, 0}, 3);
    put_field(&m, 2, SPAN("Of all."));
    char length[] = {(char)(m.len | 0x80), 0};
    assert_true(m.len < 128);
    put(body, length, 2);
    put(body, m.bytes, m.len);
    free(m.bytes);
}

/* The same with the shortest length, as a family that has lost metrics has it. */
static void
put_part(struct writer *body, const char *ids)
{
    struct writer m = {NULL, 0};
    put_field(&m, 1, SPAN("a"));
    for (; *ids; ids++)
        put_series(&m, (char[]){*ids, 0}, 3);
    put_field(&m, 2, SPAN("Of all."));
    put_message(body, &m);
    free(m.bytes);
}

/* Each shard's family: NULL has none, "=" the family as it was. */
static void
check_protobuf(const char *const *rules, enum ss_key key, const char *const *families)
{
    struct sharding s = sharding_of_rules(rules, key);
    struct writer b = {NULL, 0};
    put_family(&b, "123");
    for (int n = 0; n < 4; n++) {
        struct writer expected = {NULL, 0};
        struct question q = {
            .content_type = PROTOBUF, .shard = n < 3 ? shard_names[n] : NULL, .count = 3, .sharding = s.sharding};
        struct outcome o = feed_all_ways(span(&b), &q);
        assert_int_equal(o.result, 0);
        if (families[n] && !strcmp(families[n], "="))
            put(&expected, b.bytes, b.len);
        else if (families[n])
            put_part(&expected, families[n]);
        if (o.len != expected.len || (o.len && memcmp(o.bytes, expected.bytes, o.len) != 0))
            fail_msg("%s: shard %d has %zu bytes, and not %zu", rules[0], n, o.len, expected.len);
        if (families[n])
            assert_int_equal(o.counts.series_kept, strcmp(families[n], "=") ? strlen(families[n]) : 3);
        outcome_free(&o);
        free(expected.bytes);
    }
    free(b.bytes);
    sharding_end(&s);
}

static void
test_protobuf(void **state)
{
    (void)state;
    static const struct {
        const char *rules[3];
        enum ss_key key;
        const char *families[4]; /* of shards 0 to 2 and of all */
    } cases[] = {
        {{"drop a{id=\"2\"}"}, SS_KEY_FAMILY, {"13", NULL, NULL, "13"}},
        {{"drop a{id=\"4\"}"}, SS_KEY_FAMILY, {"=", NULL, NULL, "="}},
        {{"drop {id!=\"\"}"}, SS_KEY_DECLARED, {"", NULL, NULL, ""}},
        {{"keep a{id=~\"[23]\"}"}, SS_KEY_FAMILY, {"23", NULL, NULL, "23"}},
        {{"keep b{id=\"1\"}"}, SS_KEY_FAMILY, {NULL, NULL, NULL, NULL}},
        {{"replicate a{id=\"2\"}"}, SS_KEY_FAMILY, {"=", "2", "2", "="}},
        {{"replicate a", "drop a{id=\"1\"}"}, SS_KEY_FAMILY, {"23", "23", "23", "23"}},
        {{"replicate a", "drop a{id!=\"\"}"}, SS_KEY_FAMILY, {"", "", "", ""}},
        /* The empty key of the source label is in shard 2. */
        {{"drop a{id=\"1\"}"}, SS_KEY_LABELS, {NULL, NULL, "23", "23"}},
        {{"replicate a{id=\"1\"}"}, SS_KEY_LABELS, {"1", "1", "=", "="}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_protobuf(cases[i].rules, cases[i].key, cases[i].families);
}

/* A family of several parts: the selected metrics are in none of them. */
static void
test_a_large_family(void **state)
{
    (void)state;
    enum { SERIES = 400 };
    static const char *const rules[] = {"drop a{id=~\"drop-.*\"}", NULL};
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    struct writer b = {NULL, 0}, m = {NULL, 0};

    put_field(&m, 1, SPAN("a"));
    for (int i = 0; i < SERIES; i++) {
        char id[16];
        sprintf(id, "%s-%03d", i / 100 % 2 ? "drop" : "keep", i);
        put_series(&m, id, 2000);
    }
    put_message(&b, &m);
    for (int n = 0; n < 2; n++) {
        struct outcome o = feed_in_two(span(&b), 300 * 1024, n ? "1" : "0", s.sharding);
        int kept = 0;
        assert_int_equal(o.result, 0);
        assert_null(memmem(o.bytes, o.len, "drop-", 5));
        for (const char *p = o.bytes; (p = memmem(p, o.len - (size_t)(p - o.bytes), "keep-", 5)) != NULL; p++)
            kept++;
        assert_int_equal(kept, n ? 0 : SERIES / 2);
        outcome_free(&o);
    }
    free(b.bytes);
    sharding_end(&s);
}

/* A metric with the label id and a histogram of either kind. */
static void
put_latency(struct writer *message, const char *id, bool native)
{
    struct writer pair = {NULL, 0}, metric = {NULL, 0}, h = {NULL, 0};
    put_field(&pair, 1, SPAN("id"));
    put_field(&pair, 2, span_of(id));
    put_field(&metric, 1, span(&pair));
    put_number(&h, 1, 5);
    if (native)
        put_number(&h, 7, 1);
    put_field(&metric, 7, span(&h));
    put_field(message, 4, span(&metric));
    free(pair.bytes);
    free(metric.bytes);
    free(h.bytes);
}

/* A family of native and classic histograms, which Prometheus reads like the first, loses none of them: all have one
   way, or the scrape fails. */
static void
test_mixed_histograms(void **state)
{
    (void)state;
    static const struct {
        const char *rules[2];
        int result;
        size_t holders;
    } cases[] = {
        {{"drop a{id=\"1\"}"}, SS_KEY_IMPOSSIBLE, 0},
        {{"drop a{id=\"4\"}"}, 0, 1},
        {{"drop a{id=~\"1|2\"}"}, 0, 0},
        {{"replicate a{id!=\"4\"}"}, 0, 3},
        {{"replicate a{id=\"2\"}"}, SS_KEY_IMPOSSIBLE, 0},
        {{"keep a{id=\"2\"}"}, SS_KEY_IMPOSSIBLE, 0},
    };
    struct writer b = {NULL, 0}, m = {NULL, 0};
    put_field(&m, 1, SPAN("a"));
    put_number(&m, 3, HISTOGRAM);
    put_latency(&m, "1", true);
    put_latency(&m, "2", false);
    put_message(&b, &m);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sharding s = sharding_of_rules(cases[i].rules, SS_KEY_FAMILY);
        size_t holders = 0;
        for (int n = 0; n < 3; n++) {
            struct question q = {.content_type = PROTOBUF, .shard = shard_names[n], .count = 3, .sharding = s.sharding};
            struct outcome o = feed_all_ways(span(&b), &q);
            if (o.result != cases[i].result)
                fail_msg("%s: %d, %s", cases[i].rules[0], o.result, o.error.reason);
            if (o.result)
                assert_non_null(strstr(o.error.reason, "no selector that tells its series apart"));
            assert_true(!o.len || o.len == b.len || o.result);
            holders += !o.result && o.len;
            outcome_free(&o);
        }
        assert_int_equal(holders, cases[i].holders);
        sharding_end(&s);
    }
    free(b.bytes);
}

/* What selectors drop and replicate is counted, and the counts of families say how much it is. */
static void
check_family(void *ctx, const struct ss_family_count *family)
{
    int *seen = ctx;
    struct ss_span h = {"h", 1};
    if (family->name.len != h.len || *family->name.ptr != *h.ptr)
        return;
    ++*seen;
    assert_int_equal(family->route, SS_FAMILY_BY_HASH);
    assert_int_equal(family->series, 8);
    assert_int_equal(family->dropped, 4);
    assert_int_equal(family->replicated, 4);
}

static void
test_counts(void **state)
{
    (void)state;
    static const char *const rules[] = {"drop h{b=\"c\"}", "replicate h{b=\"d\"}", NULL};
    struct sharding s = sharding_of_rules(rules, SS_KEY_FAMILY);
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct outcome o = {.bytes = calloc(1, 1)};
    struct ss_sink sink = {outcome_take, &o};
    struct ss_filter *filter;
    int seen = 0;

    settings.sharding = s.sharding;
    settings.count_families = true;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    assert_int_equal(ss_filter_feed(filter, SPAN(body_text), &sink), 0);
    assert_int_equal(ss_filter_end(filter, &sink), 0);
    assert_int_equal(ss_filter_counts(filter)->series_seen, 12);
    assert_int_equal(ss_filter_counts(filter)->series_kept, 8);
    ss_filter_families(filter, check_family, &seen);
    assert_int_equal(seen, 1);
    ss_filter_free(filter);
    outcome_free(&o);
    sharding_end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_a_selector_starts),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_which_series),
        cmocka_unit_test(test_what_decides_by_labels),
        cmocka_unit_test(test_many_values),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_malformed_labels),
        cmocka_unit_test(test_a_match_over_the_limit),
        cmocka_unit_test(test_protobuf),
        cmocka_unit_test(test_a_large_family),
        cmocka_unit_test(test_mixed_histograms),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests_name("selector", tests, NULL, NULL);
}
