/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_ANALYSIS_STATE_H
#define PROMQL_ANALYSIS_STATE_H
/* What the files of the analysis share. */
#include "analysis.h"

#include "core/base/name_table.h"

/* Where a selector finds its series. */
struct binding {
    enum binding_kind {
        BINDING_SERIES,    /* families, and what rules record */
        BINDING_AUTOMATIC, /* each server makes them for each of its targets */
        BINDING_UNKNOWN
    } kind;
    bool is_several;    /* of many names, of which a part may be here: not of one */
    uint32_t *families; /* the scraped ones */
    size_t n_families;
    uint32_t *producers; /* the rules that record it, or the alerts; several of one name are to agree */
    size_t n_producers;
    const char *why; /* BINDING_UNKNOWN: static */
};

/* Rules of one name. */
struct rule_list {
    uint32_t *items;
    size_t n, capacity;
};

/* The place of a family: a server, or one of these. */
enum { PLACE_SPLIT = UINT32_MAX - 2, PLACE_NONE, PLACE_ALL };

struct rule_state {
    struct binding *bindings;        /* of its expression, by the selector's number */
    struct binding **query_bindings; /* of each query */
};

struct value_memo;

struct analysis {
    struct arena arena;
    const struct ruleset *rules;
    struct analysis_settings settings;
    struct rule_state *states; /* by the rules' order */
    struct rule_result *results;
    struct name_table names;  /* of metrics that selectors name */
    uint32_t *family_of_name; /* by the name's number */
    struct name_table family_names;
    struct needed_family *families; /* by the family's number, from 0: one less than in family_names */
    size_t n_families, family_room, name_room;
    struct name_table keys;
    uint32_t *places; /* by family: a key's number */
    struct name_table body_names;
    uint64_t *body_series; /* by the name's number */
    struct name_table recorded, alerts;
    struct rule_list *recorded_by, *alerts_by; /* by the name's number */
    size_t recorded_room, alerts_room;
    struct value_memo *memo; /* of rules, by their order */
    uint64_t generation;
    uint64_t steps;     /* of all evaluations, bounded */
    size_t n_needs;     /* of all rules together, likewise */
    bool out_of_memory; /* some values are not what they should be */
};

/* families.c: the number of a key, and of a metric's family; what is not there is added. 0 or a negative errno value.
 */
int analysis_key(struct analysis *analysis, struct ss_span key, uint32_t *numberp);
int analysis_family(struct analysis *analysis, struct ss_span metric, uint32_t *familyp);

/* The items of a table, with room for one of that number, zeroed; NULL: there is no memory, and they are as they were.
 */
void *analysis_reserve(void *items, size_t *room, size_t number, size_t size);

/* bind.c: finds out what selectors select. Then needs.c: what each rule needs. 0 or a negative errno value. */
int analysis_bind(struct analysis *analysis);
int analysis_find_needs(struct analysis *analysis);

/* What a server has of an expression's result. */
enum value {
    VALUE_EMPTY, /* nothing */
    VALUE_FULL,  /* what one server with all metrics would have */
    VALUE_PART,  /* some of that */
    VALUE_WRONG, /* other values, or too much */
    VALUE_CONST, /* the same everywhere, whatever was scraped */
    VALUE_NAN,   /* scalar() of nothing */
    VALUE_UNKNOWN
};

/* What a rule's value was found to be. */
struct value_memo {
    uint64_t generation; /* it holds for this one alone */
    enum value value;
};

/* Evaluates as one of the servers does. */
struct evaluation {
    struct analysis *analysis;
    const uint32_t *places; /* of families */
    uint32_t here;          /* the server's number; PLACE_NONE: one that has only what all have */
    unsigned depth;
    uint64_t steps;
};

/* evaluate.c. The expression is that of the rule. */
enum value evaluate(struct evaluation *evaluation, uint32_t rule, const struct node *node);
enum value evaluate_rule(struct evaluation *evaluation, uint32_t rule);

/* What the arguments of a part of an expression come to, one after the other, and the value that it has then. */
struct fold {
    enum value first, second; /* arguments */
    enum value vector, scalars;
};
void fold_argument(struct fold *fold, const struct node *node, uint32_t number, enum value value);
enum value fold_value(struct evaluation *evaluation, uint32_t rule, const struct node *node, const struct fold *fold);

/* Counts one part more that is evaluated; false: these are too many, or nest too deeply. */
bool evaluation_may_go_on(struct evaluation *evaluation);

/* After places or here have changed: what was remembered of rules is forgotten. */
void evaluation_move(struct evaluation *evaluation, uint32_t here);

/* The servers that a rule tells apart: those of its families, and PLACE_NONE unless all are among them. */
struct servers {
    uint32_t *items;
    size_t n;
};
int servers_of(struct analysis *analysis, uint32_t rule, const uint32_t *places, uint32_t count,
               struct servers *servers);
void servers_deinit(struct servers *servers);

/* A rule on all of these servers. */
struct server_view {
    struct evaluation *evaluation;
    const struct servers *servers;
};

/* The value of an expression of the rule on one of them. */
enum value view_value(const struct server_view *view, uint32_t rule, const struct node *node, size_t server);

/* Whether what the servers have of an expression is the whole together. */
bool view_covers(const struct server_view *view, uint32_t rule, const struct node *node);

/* verdict.c. count: how many servers there are; 0: any. 0 or -ENOMEM. */
int judge_rule(struct analysis *analysis, uint32_t rule, const uint32_t *places, uint32_t count,
               enum rule_verdict *verdictp);

/* why.c: the sentence for a verdict, in the analysis' arena. 0 or -ENOMEM. */
int explain_rule(struct analysis *analysis, uint32_t rule, const uint32_t *places, enum rule_verdict verdict,
                 const char **whyp);

/* Whether what its annotations query is on the server that evaluates it. */
bool rule_is_complete(const struct analysis *analysis, uint32_t rule, const uint32_t *places);

/* Judges all rules. results has room for them; their families stay as they are. 0 or -ENOMEM. */
int judge_all(struct analysis *analysis, const uint32_t *places, struct rule_result *results);

#endif
