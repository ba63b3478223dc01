/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_PLAN_H
#define UNIT_PLAN_H
/* Shardings of tests, in a few words. */
#include "feed.h"

#include <scrapeshard/rules.h>
#include <scrapeshard/sharding.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The sharding of a test; rules are "action pattern". */
struct plan {
    enum ss_key key;
    const char *labels[3]; /* NULL-terminated */
    const char *rules[4];
};

struct sharding {
    struct ss_rules *rules;
    struct ss_sharding *sharding;
};

static inline struct sharding
sharding_of(const struct plan *plan)
{
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_span labels[3];
    struct sharding s;

    assert_int_equal(ss_rules_new(&s.rules), 0);
    for (const char *const *rule = plan->rules; rule < plan->rules + 4 && *rule; rule++) {
        struct ss_rule_error error;
        const char *pattern = strchr(*rule, ' ') + 1;
        enum ss_action action = SS_ACTION_DROP;
        while (strncmp(ss_action_name(action), *rule, strlen(ss_action_name(action))) != 0)
            action++;
        assert_int_equal(ss_rules_add(s.rules, action, (struct ss_span){pattern, strlen(pattern)}, &error), 0);
    }
    for (; settings.n_source_labels < 3 && plan->labels[settings.n_source_labels]; settings.n_source_labels++) {
        const char *label = plan->labels[settings.n_source_labels];
        labels[settings.n_source_labels] = (struct ss_span){label, strlen(label)};
    }
    settings.key = plan->key;
    settings.source_labels = labels;
    settings.rules = s.rules;
    assert_int_equal(ss_sharding_new(&s.sharding, &settings), 0);
    return s;
}

static inline void
sharding_end(struct sharding *s)
{
    ss_sharding_free(s->sharding);
    ss_rules_free(s->rules);
}

#endif
