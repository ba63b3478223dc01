/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PARSER_H
#define PROMQL_PARSER_H
/* Shared by the files of the parser. A function that returns NULL or false has set the error of the parser. */
#include "expression.h"

struct promql_parser {
    struct lexer lexer;
    struct token token; /* lookahead: not taken yet */
    struct arena *arena;
    struct promql_error *error;
    int result;            /* 0, EINVAL, -ENOMEM */
    size_t nodes, nesting; /* checked against their limits */
    struct selector **selectors;
    size_t n_selectors, capacity;
    const char *later; /* as in struct expression */
};

/* Sets an error at this position of the text; the first error is kept. */
void __attribute__((format(printf, 3, 4)))
parser_refuse(struct promql_parser *parser, struct ss_span at, const char *format, ...);

/* Rejects the current token: "expected WHAT, got TOKEN". */
void parser_expected(struct promql_parser *parser, const char *what);

/* Takes the current token and advances. */
struct token parser_take(struct promql_parser *parser);

/* Takes a token of this kind, or rejects the current one. */
bool parser_take_a(struct promql_parser *parser, enum token_kind kind, const char *what);

/* Allocates zeroed memory in the arena. */
void *parser_alloc(struct promql_parser *parser, size_t size);

/* Makes room for one more item in a list in the arena. Returns the list, which may have moved. */
void *parser_grow(struct promql_parser *parser, void *items, size_t n, size_t *capacity, size_t size);

/* A node with n arguments: set them, then call node_finish(). */
struct node *node_new(struct promql_parser *parser, enum node_kind kind, enum value_type type, struct ss_span text,
                      size_t n);
struct node *node_finish(struct promql_parser *parser, struct node *node);

/* Parses operators of at least this precedence; 0: any. */
struct node *parse_expression(struct promql_parser *parser, int strength);

/* A selector, starting at its name or brace. */
struct node *parse_selector(struct promql_parser *parser);

/* The suffixes of an operand: a range, a subquery, offset, @. */
struct node *parse_suffixes(struct promql_parser *parser, struct node *node);

/* A list of labels, starting at its parenthesis. */
struct label_list {
    struct ss_span *items;
    size_t n, capacity;
};
bool parse_labels(struct promql_parser *parser, struct label_list *labels);

/* A string, unquoted. */
bool parse_string(struct promql_parser *parser, struct ss_span *out);

/* A call or an aggregation, starting at its name. */
struct node *parse_call(struct promql_parser *parser);
struct node *parse_aggregate(struct promql_parser *parser);

/* Builds a binary operation and checks its operands. */
struct modifiers {
    bool returns_bool, fills;
    struct token on, group; /* TOKEN_END: none */
    struct label_list on_labels, group_labels;
};
bool parse_modifiers(struct promql_parser *parser, struct modifiers *modifiers);
struct node *node_binary(struct promql_parser *parser, struct token op, const struct modifiers *modifiers,
                         struct node *left, struct node *right);

/* Such as "an instant vector". Static. */
const char *type_name(enum value_type type);

#endif
