/* SPDX-License-Identifier: Apache-2.0 */
/* Explains a verdict in one sentence, by the innermost part of the expression that causes it. */
#include "analysis_state.h"
#include "limits.h"

#include "core/base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct culprit {
    uint32_t rule; /* whose expression has the node: the rule itself, or one that records what it reads */
    const struct node *node;
};

/* Whether a node may be the cause. */
typedef bool suspicion(const struct server_view *view, uint32_t rule, const struct node *node);

static bool
has_value(const struct server_view *view, uint32_t rule, const struct node *n, enum value value)
{
    for (size_t i = 0; i < view->servers->n; i++)
        if (view_value(view, rule, n, i) == value)
            return true;
    return false;
}

static bool
is_uncovered(const struct server_view *view, uint32_t rule, const struct node *n)
{
    return n->type != TYPE_SCALAR && n->type != TYPE_STRING && !view_covers(view, rule, n);
}

static bool
is_wrong(const struct server_view *view, uint32_t rule, const struct node *n)
{
    return has_value(view, rule, n, VALUE_WRONG) || has_value(view, rule, n, VALUE_NAN);
}

static bool
is_part(const struct server_view *view, uint32_t rule, const struct node *n)
{
    return has_value(view, rule, n, VALUE_PART);
}

static bool
is_unknown(const struct server_view *view, uint32_t rule, const struct node *n)
{
    return has_value(view, rule, n, VALUE_UNKNOWN);
}

static const struct binding *
binding_of(const struct server_view *view, const struct culprit *c)
{
    return &view->evaluation->analysis->states[c->rule].bindings[c->node->selector->number];
}

/* Descends to a suspect: an argument, or a rule that records what a selector reads. */
static bool
descend(const struct server_view *view, struct culprit *c, suspicion *suspects)
{
    const struct analysis *a = view->evaluation->analysis;
    if (c->node->kind == NODE_SELECTOR) {
        const struct binding *b = binding_of(view, c);
        for (size_t i = 0; i < b->n_producers; i++) {
            struct culprit next = {b->producers[i], a->rules->items[b->producers[i]].expression.root};
            if (suspects(view, next.rule, next.node)) {
                *c = next;
                return true;
            }
        }
        return false;
    }
    for (uint32_t i = 0; i < c->node->n_args; i++)
        if (suspects(view, c->rule, c->node->args[i])) {
            c->node = c->node->args[i];
            return true;
        }
    return false;
}

/* Bounded, because a rule that reads itself leads back to itself. */
static struct culprit
find_culprit(const struct server_view *view, uint32_t rule, suspicion *suspects)
{
    struct culprit c = {rule, view->evaluation->analysis->rules->items[rule].expression.root};
    for (int steps = 0; steps < 200 && descend(view, &c, suspects); steps++)
        ;
    return c;
}

/* Sentences. */

/* The name of the first named selector in the expression; empty if there is none. */
static struct ss_span
name_in(const struct node *n)
{
    struct ss_span name = {"", 0};
    if (n->kind == NODE_SELECTOR && n->selector->name.ptr)
        return n->selector->name;
    for (uint32_t i = 0; i < n->n_args && !name.len; i++)
        name = name_in(n->args[i]);
    return name;
}

static int
print_name(FILE *out, const struct node *n)
{
    struct ss_span name = name_in(n);
    return name.len ? fprintf(out, "`%.*s`", (int)name.len, name.ptr) : fputs("the selected data", out);
}

/* A name with the sharding rule that splits its family, or drops it. */
static void
print_spread(FILE *out, const struct server_view *view, const struct node *n, const struct needed_family *f)
{
    (void)view;
    print_name(out, n);
    if (f->place.action)
        fprintf(out, " (%s = %.*s)", f->place.action, (int)f->place.pattern.len, f->place.pattern.ptr);
    else
        fputs(" (split by its labels)", out);
}

/* The first family at this place that the expression selects, with its selector; or NULL. */
static const struct needed_family *
family_at(const struct server_view *view, uint32_t rule, const struct node *n, uint32_t place, const struct node **at)
{
    const struct evaluation *e = view->evaluation;
    if (n->kind == NODE_SELECTOR) {
        const struct binding *b = &e->analysis->states[rule].bindings[n->selector->number];
        *at = n;
        for (size_t i = 0; i < b->n_families; i++)
            if (e->places[b->families[i]] == place)
                return &e->analysis->families[b->families[i]];
    }
    const struct needed_family *found = NULL;
    for (uint32_t i = 0; i < n->n_args && !found; i++)
        found = family_at(view, rule, n->args[i], place, at);
    return found;
}

static void
print_silent(FILE *out, const struct server_view *view, const struct culprit *c)
{
    const struct node *n = c->node, *at;
    const struct needed_family *dropped = family_at(view, c->rule, n, PLACE_NONE, &at);

    if (dropped && dropped->place.action && !dropped->place.pattern.len) {
        fputs("no server has ", out);
        print_name(out, at);
        fputs(", which no keep rule matches", out);
    } else if (dropped && !dropped->place.action) {
        fputs("no server has ", out);
        print_name(out, at);
        fputs(", which is not UTF-8", out);
    } else if (dropped) {
        fputs("no server has ", out);
        print_spread(out, view, at, dropped);
    } else if (n->kind == NODE_BINARY &&
               (has_value(view, c->rule, n->args[0], VALUE_NAN) || has_value(view, c->rule, n->args[1], VALUE_NAN))) {
        fprintf(out, "the scalar() that `%.*s` compares with is on another server", (int)n->text.len, n->text.ptr);
    } else if (n->kind == NODE_BINARY && family_at(view, c->rule, n, PLACE_SPLIT, &at)) {
        fprintf(out, "`%.*s` matches only some of the pairs, because each server has a different part of ",
                (int)n->text.len, n->text.ptr);
        print_name(out, at);
    } else if (n->kind == NODE_BINARY && n->op == TOKEN_UNLESS) {
        fprintf(out, "the two sides of `%.*s` are on different servers", (int)n->text.len, n->text.ptr);
    } else if (n->kind == NODE_BINARY) {
        fprintf(out, "no server has both sides of `%.*s`", (int)n->text.len, n->text.ptr);
    } else if (n->kind == NODE_AGGREGATE) {
        fprintf(out, "`%.*s` covers only part of its series on each server", (int)n->text.len, n->text.ptr);
    } else {
        fputs("no server has ", out);
        print_name(out, n);
    }
}

static void
print_wrong_call(FILE *out, const struct node *n)
{
    static const char absent[] = "absent";
    if (n->text.len >= strlen(absent) && !memcmp(n->text.ptr, absent, strlen(absent))) {
        fprintf(out, "`%.*s()` is true on every server that does not have ", (int)n->text.len, n->text.ptr);
        print_name(out, n);
        fputs("; guard it with `and on () X`, where X always exists and is on the same server", out);
    } else if (spans_equal(n->text, (struct ss_span){"scalar", 6})) {
        fputs("`scalar()` is NaN on every server that does not have all of ", out);
        print_name(out, n);
    } else {
        fprintf(out, "`%.*s()` is evaluated on servers that have only part of its input", (int)n->text.len,
                n->text.ptr);
    }
}

static void
print_wrong(FILE *out, const struct server_view *view, const struct culprit *c)
{
    const struct node *n = c->node, *at = NULL;

    if (n->kind == NODE_AGGREGATE) {
        fprintf(out, "`%.*s` covers only part of its series on each server", (int)n->text.len, n->text.ptr);
        const struct needed_family *split = family_at(view, c->rule, n, PLACE_SPLIT, &at);
        if (split) {
            fputs(", because each has a different part of ", out);
            print_spread(out, view, at, split);
        }
    } else if (n->kind == NODE_CALL) {
        print_wrong_call(out, n);
    } else if (n->kind == NODE_BINARY && n->op == TOKEN_UNLESS) {
        fputs("`unless` removes too little on servers that do not have all of ", out);
        print_name(out, n->args[1]);
    } else if (n->kind == NODE_BINARY && n->op == TOKEN_OR) {
        fputs("`or` adds its right side on every server that does not have all of ", out);
        print_name(out, n->args[0]);
    } else if (n->kind == NODE_BINARY && n->fills) {
        fprintf(out, "`%.*s` fills in values for the side that is on another server", (int)n->text.len, n->text.ptr);
    } else {
        print_name(out, n);
        fputs(" is incomplete on servers that evaluate it", out);
    }
}

static void
print_parts(FILE *out, const struct server_view *view, const struct culprit *c)
{
    const struct node *at = NULL;
    const struct needed_family *split = family_at(view, c->rule, c->node, PLACE_SPLIT, &at);

    if (split) {
        fputs("each server has a different part of ", out);
        print_spread(out, view, at, split);
    } else if (c->node->kind == NODE_BINARY) {
        fprintf(out, "the two sides of `%.*s` are on different servers", (int)c->node->text.len, c->node->text.ptr);
    } else {
        print_name(out, c->node);
        fputs(" is spread over several servers", out);
    }
}

/* Why it is not known on which servers the series of a family are. */
static void
print_differing(FILE *out, const struct metric_place *place, const struct node *selector)
{
    bool replicates = !strcmp(place->action, ss_action_name(SS_ACTION_REPLICATE));

    fprintf(out, "`%s = %.*s` ", place->action, (int)place->pattern.len, place->pattern.ptr);
    fputs(place->spread == SPREAD_FAILS ? "exceeds its match limit at "
          : replicates                  ? "may replicate only some of "
                                        : "may drop only some of ",
          out);
    print_name(out, selector);
}

static void
print_unknown(FILE *out, const struct server_view *view, const struct culprit *c)
{
    const struct node *n = c->node;
    const char *why = n->kind == NODE_SELECTOR ? binding_of(view, c)->why : NULL;
    const struct node *at;
    const struct needed_family *differs = family_at(view, c->rule, n, PLACE_DIFFERS, &at);
    if (why) {
        fputs(why, out);
        return;
    }
    if (differs) {
        print_differing(out, &differs->place, at);
        return;
    }
    fputs("rules read each other in a cycle, or through too many levels", out);
}

static void
print_missing(FILE *out, const struct analysis *a, const struct rule_result *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_families; i++) {
        const struct needed_family *f = &a->families[r->families[i]];
        if (!f->in_body && n++ == 0)
            fprintf(out, "the body does not have `%.*s`", (int)f->name.len, f->name.ptr);
    }
    if (n > 1)
        fprintf(out, " and %zu more", n - 1);
}

static void
print_good(FILE *out, const struct analysis *a, const struct rule_result *r, const uint32_t *places,
           enum rule_verdict verdict)
{
    fputs(verdict == RULE_EVERYWHERE ? "every server has everything it needs and evaluates it independently"
          : r->n_families > 1        ? "everything it needs is on one server"
                                     : "it needs only one family",
          out);
    for (size_t i = 0; i < r->n_queried && !rule_is_complete(a, (uint32_t)(r - a->results), places); i++) {
        struct ss_span name = a->families[r->queried[i]].name;
        fprintf(out, "%s`%.*s`%s", i ? ", " : "; but its annotations query ", (int)name.len, name.ptr,
                i + 1 < r->n_queried ? "" : ", which may be on another server");
    }
}

static void
print_why(FILE *out, const struct server_view *view, uint32_t rule, enum rule_verdict verdict)
{
    static const struct {
        suspicion *suspects;
        void (*print)(FILE *out, const struct server_view *view, const struct culprit *culprit);
    } sentences[RULE_VERDICTS] = {
        [RULE_SILENT] = {is_uncovered, print_silent},     [RULE_FALSE] = {is_wrong, print_wrong},
        [RULE_FALSE_ELSEWHERE] = {is_wrong, print_wrong}, [RULE_IN_PARTS] = {is_part, print_parts},
        [RULE_UNKNOWN] = {is_unknown, print_unknown},
    };
    assert(sentences[verdict].suspects && sentences[verdict].print); /* the other verdicts are good */
    struct culprit c = find_culprit(view, rule, sentences[verdict].suspects);
    if (view->evaluation->steps == LIMIT_STEPS) {
        fputs("it reads too much to find which part is the cause", out);
        return;
    }
    if (c.rule != rule) {
        struct ss_span name = view->evaluation->analysis->rules->items[c.rule].name;
        fprintf(out, "it reads `%.*s`, where ", (int)name.len, name.ptr);
    }
    sentences[verdict].print(out, view, &c);
}

int
explain_rule(struct analysis *a, uint32_t rule, const uint32_t *places, enum rule_verdict verdict, const char **whyp)
{
    struct evaluation e = {.analysis = a, .places = places, .steps = LIMIT_STEPS - LIMIT_WHY_STEPS};
    const struct rule_result *result = &a->results[rule];
    struct servers servers;
    char *text = NULL;
    size_t len = 0;

    int r = servers_of(a, rule, places, 0, &servers);
    if (r)
        return r;
    struct server_view view = {&e, &servers};
    FILE *out = open_memstream(&text, &len);
    if (out) {
        if (result->is_missing)
            print_missing(out, a, result);
        else if (rule_verdict_is_good(verdict))
            print_good(out, a, result, places, verdict);
        else
            print_why(out, &view, rule, verdict);
        r = fclose(out) || !text ? -ENOMEM : 0;
    }
    struct ss_span copy =
        out && !r ? arena_copy(&a->arena, (struct ss_span){text, len + 1}) : (struct ss_span){NULL, 0};
    *whyp = copy.ptr;
    free(text);
    servers_deinit(&servers);
    return copy.ptr ? 0 : -ENOMEM;
}
