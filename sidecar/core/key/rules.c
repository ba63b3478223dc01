/* SPDX-License-Identifier: Apache-2.0 */
/* The rules, compiled and matched by PCRE2. */
#include "route.h"

#include "core/base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    /* A pattern for names matches within some hundred steps; PCRE2's own limit of 10,000,000 would take a tenth of a
       second per name and scrape. */
    MATCH_LIMIT = 100 * 1000,
    HEAP_LIMIT_KIB = 4 * 1024,
};

struct ss_rules {
    struct rule *items;
    size_t n;
    size_t of_action[SS_ACTION_SPLIT + 1];
    pcre2_match_context *context;
    pcre2_match_data *data; /* room for RULE_MATCH_GROUPS pairs */
};

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
    r->context = pcre2_match_context_create(NULL);
    r->data = pcre2_match_data_create(RULE_MATCH_GROUPS + 1, NULL);
    if (!r->context || !r->data) {
        ss_rules_free(r);
        return -ENOMEM;
    }
    pcre2_set_match_limit(r->context, MATCH_LIMIT);
    pcre2_set_depth_limit(r->context, MATCH_LIMIT);
    pcre2_set_heap_limit(r->context, HEAP_LIMIT_KIB);
    *rulesp = r;
    return 0;
}

static int
refuse(struct ss_rule_error *error, size_t offset, const char *reason)
{
    error->offset = offset;
    snprintf(error->reason, sizeof(error->reason), "%s", reason);
    return EINVAL;
}

/*
 * Compiles as Prometheus does: the whole name must match, a dot matches every character. No \C, which could stop inside
 * a character.
 */
static int
compile(pcre2_code **codep, struct ss_span pattern, struct ss_rule_error *error)
{
    const uint32_t options =
        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C;
    char reason[160];
    PCRE2_SIZE offset;
    int code;

    *codep = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &offset, NULL);
    if (!*codep) {
        if (code == PCRE2_ERROR_HEAP_FAILED)
            return -ENOMEM;
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof(reason));
        return refuse(error, offset, reason);
    }
    /* Without the JIT, as on a kernel that forbids executable memory, matching is only slower. */
    (void)pcre2_jit_compile(*codep, PCRE2_JIT_COMPLETE);
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
        return refuse(error, 0, "expected a capture group or a name, e.g. (job:.*):.* or jobs: job:.*");
    if (groups > RULE_MATCH_GROUPS)
        return refuse(error, 0, "more than 16 capture groups; use (?:...) for those that are not part of the key");
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
        return refuse(error, at ? bad : 0,
                      "expected a group's name of letters, digits, _ . and - before the colon, as in "
                      "filesystem: node_filesystem_.*");
    name->len = at++;
    while (at < pattern->len && (pattern->ptr[at] == ' ' || pattern->ptr[at] == '\t'))
        at++;
    *pattern = (struct ss_span){pattern->ptr + at, pattern->len - at};
    return pattern->len ? 0 : refuse(error, at, "expected a pattern after the group's name");
}

int
ss_rules_add(struct ss_rules *r, enum ss_action action, struct ss_span pattern, struct ss_rule_error *error)
{
    if (!pattern.len)
        return refuse(error, 0, "the pattern is empty, expected a regular expression such as http_.*");

    struct rule *items = realloc(r->items, (r->n + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    r->items = items;
    struct rule *rule = &items[r->n];
    struct ss_span names = pattern, group = {pattern.ptr, 0};
    int result = action == SS_ACTION_COLOCATE ? take_group_name(&names, &group, error) : 0;
    if (result)
        return result;
    result = compile(&rule->code, names, error);
    if (result) {
        error->offset += (size_t)(names.ptr - pattern.ptr);
        return result;
    }
    char *copy = NULL;
    if (action == SS_ACTION_COLOCATE && !group.len)
        result = check_groups(rule->code, error);
    if (!result && !(copy = copy_pattern(pattern)))
        result = -ENOMEM;
    if (result) {
        pcre2_code_free(rule->code);
        return result;
    }
    rule->action = action;
    rule->pattern = (struct ss_span){copy, pattern.len};
    rule->group = (struct ss_span){copy, group.len};
    r->n++;
    r->of_action[action]++;
    return 0;
}

void
ss_rules_free(struct ss_rules *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++) {
        pcre2_code_free(r->items[i].code);
        free((char *)(uintptr_t)r->items[i].pattern.ptr);
    }
    free(r->items);
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->context);
    free(r);
}

bool
rules_have(const struct ss_rules *r, enum ss_action action)
{
    return r && r->of_action[action];
}

/* Whether an earlier rule gives its key the same name. */
static bool
is_named_before(const struct ss_rules *r, const struct rule *rule)
{
    for (const struct rule *before = r->items; before < rule; before++)
        if (spans_equal(before->group, rule->group))
            return true;
    return false;
}

size_t
rules_groups(const struct ss_rules *r, struct ss_span *out, size_t n)
{
    size_t found = 0;
    for (const struct rule *rule = r ? r->items : NULL; rule && rule < r->items + r->n; rule++) {
        if (!rule->group.len || is_named_before(r, rule))
            continue;
        if (found < n)
            out[found] = rule->group;
        found++;
    }
    return found;
}

/* Matching. */

/* Whether a rule matches a name: 1, 0, or a negative PCRE2 error. A name that is not UTF-8 is not valid for any
   scraper; PCRE2_MATCH_INVALID_UTF would match fragments of it where there is no JIT. */
static int
match_name(const struct ss_rules *r, const struct rule *rule, struct ss_span name)
{
    int n = pcre2_match(rule->code, (PCRE2_SPTR)name.ptr, name.len, 0, 0, r->data, r->context);
    /* The JIT's 32 KiB stack is too small for some names; the interpreter has only the limits. */
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(rule->code, (PCRE2_SPTR)name.ptr, name.len, 0, PCRE2_NO_JIT, r->data, r->context);
    bool no_utf8 = n <= PCRE2_ERROR_UTF8_ERR1 && n >= PCRE2_ERROR_UTF8_ERR21;
    return n == PCRE2_ERROR_NOMATCH || no_utf8 ? 0 : n < 0 ? n : 1;
}

static void
take_groups(const struct ss_rules *r, const struct rule *rule, struct ss_span name, struct rule_match *match)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->data);
    uint32_t groups = 0;

    if (rule->group.len) {
        match->n_groups = 1;
        match->groups[0] = rule->group;
        return;
    }
    pcre2_pattern_info(rule->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    match->n_groups = groups;
    for (size_t i = 0; i < groups; i++, at += 2)
        match->groups[i] =
            at[2] == PCRE2_UNSET ? (struct ss_span){name.ptr, 0} : (struct ss_span){name.ptr + at[2], at[3] - at[2]};
}

/* The first rule of an action that matches one of the names: 1, with match->rule; 0; or a PCRE2 error, with
   match->rule. */
static int
find(const struct ss_rules *r, enum ss_action action, const struct ss_span *names, size_t n, struct rule_match *match)
{
    if (!r->of_action[action])
        return 0;
    for (const struct rule *rule = r->items; rule < r->items + r->n; rule++) {
        for (size_t i = 0; rule->action == action && i < n; i++) {
            int m = names[i].len ? match_name(r, rule, names[i]) : 0;
            if (!m)
                continue;
            match->rule = rule;
            if (m > 0 && action == SS_ACTION_COLOCATE)
                take_groups(r, rule, names[i], match);
            return m;
        }
    }
    return 0;
}

static int
fail(const struct rule_match *match, int code, char *reason, size_t size)
{
    char what[120];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)what, sizeof(what));
    snprintf(reason, size, "cannot match rule %s = %.80s: %s", ss_action_name(match->rule->action),
             match->rule->pattern.ptr, what);
    return EINVAL;
}

int
rules_match(const struct ss_rules *r, const struct ss_span *names, size_t n, struct rule_match *match, char *reason,
            size_t size)
{
    match->rule = NULL;
    match->not_kept = false;
    for (enum ss_action action = SS_ACTION_DROP; action <= SS_ACTION_SPLIT; action++) {
        int m = find(r, action, names, n, match);
        if (m < 0)
            return fail(match, m, reason, size);
        if (action == SS_ACTION_KEEP) {
            /* A matching keep rule decides nothing else. */
            match->rule = NULL;
            if (!m && r->of_action[action]) {
                match->not_kept = true;
                return 0;
            }
        } else if (m) {
            return 0;
        }
    }
    return 0;
}
