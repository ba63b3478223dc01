/* SPDX-License-Identifier: Apache-2.0 */
/* The rules, compiled and matched by PCRE2. */
#include "route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

const char *
ss_action_name(enum ss_action action)
{
    static const char *const names[] = {
        [SS_ACTION_DROP] = "drop",         [SS_ACTION_KEEP] = "keep",   [SS_ACTION_REPLICATE] = "replicate",
        [SS_ACTION_COLOCATE] = "colocate", [SS_ACTION_SPLIT] = "split",
    };
    return names[action];
}

int
ss_rules_new(struct ss_rules **rulesp)
{
    struct ss_rules *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    if (regex_state_init(&r->state, RULE_MATCH_GROUPS)) {
        ss_rules_free(r);
        return -ENOMEM;
    }
    *rulesp = r;
    return 0;
}

/* A NUL-terminated copy of a pattern, which may itself contain NULs. NULL: out of memory. */
static char *
copy_pattern(struct ss_span pattern)
{
    char *copy = malloc(pattern.len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, pattern.ptr, pattern.len);
    copy[pattern.len] = 0;
    return copy;
}

static int
check_groups(const pcre2_code *code, struct ss_rule_error *error)
{
    uint32_t groups = 0;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (!groups)
        return rule_refuse(error, 0, "expected a capture group or a name, e.g. (job:.*):.* or jobs: job:.*");
    if (groups > RULE_MATCH_GROUPS)
        return rule_refuse(error, 0, "more than 16 capture groups; use (?:...) for those that are not part of the key");
    return 0;
}

static bool
is_in_group_name(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '.' || c == '-';
}

/* Takes "NAME: " off the beginning of a colocate rule: *name is empty if there is none. A name that a metric has has no
   blank, so that what has a colon and one is meant to be named, unless they stand in a group or class. */
static int
take_group_name(struct ss_span *pattern, struct ss_span *name, struct ss_rule_error *error)
{
    size_t at = 0, bad = SIZE_MAX;

    *name = (struct ss_span){pattern->ptr, 0};
    for (; at + 1 < pattern->len; at++) {
        char c = pattern->ptr[at], next = pattern->ptr[at + 1];
        if (c == ':' && (next == ' ' || next == '\t'))
            break;
        if (c == '(' || c == '[' || c == '\\')
            return 0;
        if (!is_in_group_name(c) && bad == SIZE_MAX)
            bad = at;
    }
    if (at + 1 >= pattern->len)
        return 0;
    if (!at || bad != SIZE_MAX)
        return rule_refuse(error, at ? bad : 0,
                           "expected a group's name of letters, digits, _ . and - before the colon, as in "
                           "filesystem: node_filesystem_.*");
    name->len = at++;
    while (at < pattern->len && (pattern->ptr[at] == ' ' || pattern->ptr[at] == '\t'))
        at++;
    *pattern = (struct ss_span){pattern->ptr + at, pattern->len - at};
    return pattern->len ? 0 : rule_refuse(error, at, "expected a pattern after the group's name");
}

/* Takes the selector off the end of a pattern, and numbers the rule. */
static int
take_selector(struct ss_rules *r, enum ss_action action, struct ss_span *pattern, struct rule *rule,
              struct ss_rule_error *error)
{
    size_t at = selector_find(*pattern);
    struct ss_span text = {pattern->ptr + at, pattern->len - at};
    bool takes_one = action == SS_ACTION_DROP || action == SS_ACTION_KEEP || action == SS_ACTION_REPLICATE;

    if (!text.len)
        return 0;
    if (!takes_one)
        return rule_refuse(error, at, "this rule takes no selector, expected a pattern alone (a literal { is \\{)");
    struct ss_span copy = arena_copy(&r->arena, text);
    int result = copy.ptr ? selector_parse(&rule->selector, copy, &r->labels, &r->arena, error) : -ENOMEM;
    if (result > 0)
        error->offset += at;
    if (!result && rule->selector.n && r->n_selectors == CORE_MAX_SELECTORS)
        return rule_refuse(error, at, "more than 64 rules with a selector; several names can share one: (a|b){...}");
    if (!result && !at && !rule->selector.n)
        return rule_refuse(error, 0, "expected a pattern of names or a label, such as {job=\"x\"}");
    pattern->len = at;
    if (!result && rule->selector.n)
        rule->bit = UINT64_C(1) << r->n_selectors;
    return result;
}

/* Compiles what a rule says into *rule, of which rule_deinit() frees what there is in all cases. */
static int
compile(struct ss_rules *r, enum ss_action action, struct ss_span text, struct rule *rule, struct ss_rule_error *error)
{
    struct ss_span names = text, group = {text.ptr, 0};
    int result = action == SS_ACTION_COLOCATE ? take_group_name(&names, &group, error) : 0;
    size_t before = (size_t)(names.ptr - text.ptr);

    *rule = (struct rule){.action = action};
    if (result)
        return result;
    result = take_selector(r, action, &names, rule, error);
    if (!result && names.len)
        result = regex_compile(&rule->code, names, error);
    if (result > 0)
        error->offset += before;
    if (result)
        return result;
    if (action == SS_ACTION_COLOCATE && !group.len)
        result = check_groups(rule->code, error);
    char *copy = result ? NULL : copy_pattern(text);
    if (!copy)
        return result ? result : -ENOMEM;
    rule->pattern = (struct ss_span){copy, text.len};
    rule->group = (struct ss_span){copy, group.len};
    return 0;
}

static void
rule_deinit(struct rule *rule)
{
    regex_free(rule->code);
    selector_deinit(&rule->selector);
    free((char *)(uintptr_t)rule->pattern.ptr);
}

int
ss_rules_add(struct ss_rules *r, enum ss_action action, struct ss_span pattern, struct ss_rule_error *error)
{
    if (!pattern.len)
        return rule_refuse(error, 0, "the pattern is empty, expected a regular expression such as http_.*");

    struct rule *items = realloc(r->items, (r->n + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    r->items = items;
    struct rule *rule = &items[r->n];
    int result = compile(r, action, pattern, rule, error);
    if (result) {
        rule_deinit(rule);
        return result;
    }
    if (rule->bit)
        r->with_selector[r->n_selectors++] = r->n;
    r->selectors[action] |= rule->bit;
    r->n++;
    r->of_action[action]++;
    return 0;
}

void
ss_rules_free(struct ss_rules *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        rule_deinit(&r->items[i]);
    free(r->items);
    regex_state_deinit(&r->state);
    name_table_deinit(&r->labels);
    arena_deinit(&r->arena);
    free(r);
}
