/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PARSER_H
#define PROMQL_PARSER_H
/* What the files of the parser share. A function that returns NULL or false has left its error in the parser. */
#include "expression.h"

struct promql_parser {
    struct lexer lexer;
    struct token token; /* the one that is looked at; it was not taken yet */
    struct arena *arena;
    struct promql_error *error;
    int result;            /* 0, EINVAL, -ENOMEM */
    size_t nodes, nesting; /* counted against their limits */
    struct selector **selectors;
    size_t n_selectors, capacity;
    const char *later; /* as in an expression */
};

/* Leaves an error that points at the text; the first one counts. */
void __attribute__((format(printf, 3, 4)))
parser_refuse(struct promql_parser *parser, struct ss_span at, const char *format, ...);

/* Refuses the token that is looked at: "expected WHAT, got TOKEN". */
void parser_expected(struct promql_parser *parser, const char *what);

/* Takes the token and looks at the next. */
struct token parser_take(struct promql_parser *parser);

/* Takes a token of this kind, or refuses what is there. */
bool parser_take_a(struct promql_parser *parser, enum token_kind kind, const char *what);

/* Memory of the arena, zeroed. */
void *parser_alloc(struct promql_parser *parser, size_t size);

/* Room for one more of n items of a size in a list of the arena: the list, which may have moved. */
void *parser_grow(struct promql_parser *parser, void *items, size_t n, size_t *capacity, size_t size);

/* A node with n arguments, which are to be filled, and node_finish() called then. */
struct node *node_new(struct promql_parser *parser, enum node_kind kind, enum value_type type, struct ss_span text,
                      size_t n);
struct node *node_finish(struct promql_parser *parser, struct node *node);

/* Parses an expression of operators of this strength and above; 0: any. */
struct node *parse_expression(struct promql_parser *parser, int strength);

/* A selector, from its name or its brace on. */
struct node *parse_selector(struct promql_parser *parser);

/* What may follow an operand: a range, a subquery, offset, @. */
struct node *parse_suffixes(struct promql_parser *parser, struct node *node);

/* A list of labels in parentheses, from the parenthesis on. */
struct label_list {
    struct ss_span *items;
    size_t n, capacity;
};
bool parse_labels(struct promql_parser *parser, struct label_list *labels);

/* A string, unquoted. */
bool parse_string(struct promql_parser *parser, struct ss_span *out);

/* A call and an aggregation, from the name on. */
struct node *parse_call(struct promql_parser *parser);
struct node *parse_aggregate(struct promql_parser *parser);

/* Puts an operator between its operands, which are checked; op is what was written. */
struct modifiers {
    bool returns_bool, fills;
    struct token on, group; /* of kind TOKEN_END if there are none */
    struct label_list on_labels, group_labels;
};
bool parse_modifiers(struct promql_parser *parser, struct modifiers *modifiers);
struct node *node_binary(struct promql_parser *parser, struct token op, const struct modifiers *modifiers,
                         struct node *left, struct node *right);

/* "an instant vector". Static. */
const char *type_name(enum value_type type);

#endif
