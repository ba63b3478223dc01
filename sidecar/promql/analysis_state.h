/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_ANALYSIS_STATE_H
#define PROMQL_ANALYSIS_STATE_H
/* Shared by the files of the analysis. */
#include "analysis.h"

#include "core/base/name_table.h"

/* Where the series of a selector come from. */
struct binding {
    enum binding_kind {
        BINDING_SERIES, /* scraped, recorded or generated */
        BINDING_UNKNOWN
    } kind;
    bool is_generated;  /* also what each server generates for each of its targets, such as up */
    bool reads_alerts;  /* also the state of alerts that are not known */
    bool is_several;    /* matches several names, of which a server may have some */
    bool differs;       /* some of the families have no known place */
    uint32_t *families; /* scraped */
    size_t n_families;
    uint32_t *producers; /* the rules that record it, or the alerts; several of one name must agree */
    size_t n_producers;
    const char *why; /* of BINDING_UNKNOWN and reads_alerts; static */
};

/* The rules of one name. */
struct rule_list {
    uint32_t *items;
    size_t n, capacity;
};

/* The place of a family: the number of a server, or one of these. */
enum { PLACE_DIFFERS = UINT32_MAX - 3, PLACE_SPLIT, PLACE_NONE, PLACE_ALL };

struct rule_state {
    struct binding *bindings;        /* of the expression, by the selector's number */
    struct binding **query_bindings; /* of each query */
};

struct value_memo;

struct analysis {
    struct arena arena;
    const struct ruleset *rules;
    struct analysis_settings settings;
    struct rule_state *states; /* by rule */
    struct rule_result *results;
    struct name_table names;  /* metric names in selectors */
    uint32_t *family_of_name; /* by the name's number */
    struct name_table family_names;
    struct needed_family *families; /* by the number in family_names minus 1 */
    size_t n_families, family_room, name_room;
    struct name_table keys;
    uint32_t *places; /* by family: the number of its key, or PLACE_* */
    struct name_table body_names;
    uint64_t *body_series; /* by the name's number */
    struct name_table recorded, alerts;
    struct rule_list *recorded_by, *alerts_by; /* by the name's number */
    size_t recorded_room, alerts_room;
    struct value_memo *memo; /* by rule */
    uint64_t generation;
    uint64_t steps;     /* of all evaluations; bounded */
    size_t n_needs;     /* of all rules together; bounded */
    bool out_of_memory; /* results are not reliable */
};

/* families.c: the number of a key, or of the family that the selector's series of a metric are in (NULL: all series),
   added if new. 0 or a negative errno value. */
int analysis_key(struct analysis *analysis, struct ss_span key, uint32_t *numberp);
int analysis_family(struct analysis *analysis, struct ss_span metric, const struct selector *selector,
                    uint32_t *familyp);

/* What the samples of a family may have after its name. */
enum { SAMPLE_SUFFIXES = 9 };
extern const char *const sample_suffixes[SAMPLE_SUFFIXES];

/* The family of the bodies that a metric belongs to: that of its name, else without a suffix that the samples of a
   family may have; ptr NULL: none. */
struct ss_span analysis_declared_family(const struct analysis *analysis, struct ss_span name);

/* Grows a zero-filled array so that it has the item of that number. NULL: out of memory; the array is unchanged. */
void *analysis_reserve(void *items, size_t *room, size_t number, size_t size);

/* bind.c resolves the selectors, then needs.c finds what each rule needs. 0 or a negative errno value. */
int analysis_bind(struct analysis *analysis);
int analysis_find_needs(struct analysis *analysis);

/* What a server has of the result of an expression. */
enum value {
    VALUE_EMPTY, /* nothing */
    VALUE_FULL,  /* what a single server with all metrics would have */
    VALUE_PART,  /* some of that */
    VALUE_WRONG, /* possibly other values or extra series */
    VALUE_CONST, /* the same everywhere, independent of what is scraped */
    VALUE_NAN,   /* scalar() of an empty vector */
    VALUE_UNKNOWN
};

/* The cached value of a rule. */
struct value_memo {
    uint64_t generation; /* valid only for this one */
    enum value value;
};

/* Evaluates from the view of one server. */
struct evaluation {
    struct analysis *analysis;
    const uint32_t *places; /* of families */
    uint32_t here;          /* the server's number; PLACE_NONE: a server that has only what is replicated */
    unsigned depth;
    uint64_t steps;
};

/* evaluate.c. node is part of the expression of the rule. */
enum value evaluate(struct evaluation *evaluation, uint32_t rule, const struct node *node);
enum value evaluate_rule(struct evaluation *evaluation, uint32_t rule);

/* Combines the values of the arguments, one after the other, into the value of the node. */
struct fold {
    enum value first, second; /* arguments */
    enum value vector, scalars;
};
void fold_argument(struct fold *fold, const struct node *node, uint32_t number, enum value value);
enum value fold_value(struct evaluation *evaluation, uint32_t rule, const struct node *node, const struct fold *fold);

/* Counts a step of the evaluation. False: there were too many, or they nest too deeply. */
bool evaluation_count_step(struct evaluation *evaluation);

/* Switches to another server, and invalidates the cached values of rules. */
void evaluation_move(struct evaluation *evaluation, uint32_t here);

/* The servers on which a rule may differ: those of its families, and PLACE_NONE unless these are all servers. */
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

/* The value on one of them. */
enum value view_value(const struct server_view *view, uint32_t rule, const struct node *node, size_t server);

/* Whether the results of all servers together are complete. */
bool view_covers(const struct server_view *view, uint32_t rule, const struct node *node);

/* verdict.c. count: the number of servers; 0: any. 0 or -ENOMEM. */
int judge_rule(struct analysis *analysis, uint32_t rule, const uint32_t *places, uint32_t count,
               enum rule_verdict *verdictp);

/* why.c: explains the verdict in one sentence, allocated in the analysis' arena. 0 or -ENOMEM. */
int explain_rule(struct analysis *analysis, uint32_t rule, const uint32_t *places, enum rule_verdict verdict,
                 const char **whyp);

/* Whether everything its annotations query is on the server that evaluates it. */
bool rule_is_complete(const struct analysis *analysis, uint32_t rule, const uint32_t *places);

/* Judges all rules. results has one item per rule, with its families already set. 0 or -ENOMEM. */
int judge_all(struct analysis *analysis, const uint32_t *places, struct rule_result *results);

#endif
