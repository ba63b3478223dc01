/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_EXPRESSION_H
#define PROMQL_EXPRESSION_H
/* The syntax tree of a PromQL expression. It is allocated in the arena and borrows the text. */
#include "error.h"
#include "lexer.h"

#include "core/base/arena.h"

enum value_type { TYPE_SCALAR, TYPE_VECTOR, TYPE_MATRIX, TYPE_STRING };

struct matcher {
    struct ss_span label, value; /* unquoted */
    enum token_kind op;          /* TOKEN_ASSIGN, TOKEN_NEQ, TOKEN_MATCH, TOKEN_NOT_MATCH */
    bool takes_empty;            /* matches series without the label */
};

struct selector {
    struct ss_span name; /* before the braces, or of __name__="..."; ptr NULL: none */
    struct matcher *matchers;
    size_t n_matchers;
    size_t number;   /* index into the expression's selectors */
    bool is_info;    /* second argument of info() */
    bool is_implied; /* not in the text: info(v) has one all the same */
};

enum node_kind {
    NODE_NUMBER,
    NODE_STRING,
    NODE_SELECTOR,  /* with a range, its type is TYPE_MATRIX */
    NODE_SUBQUERY,  /* args[0] */
    NODE_PAREN,     /* args[0] */
    NODE_UNARY,     /* args[0] */
    NODE_BINARY,    /* args[0] op args[1] */
    NODE_AGGREGATE, /* args[0]; args[1]: the parameter, if any */
    NODE_CALL,
};

struct node {
    enum node_kind kind;
    enum value_type type;
    enum token_kind op;  /* of NODE_BINARY and NODE_AGGREGATE */
    struct ss_span text; /* of the operator, function or literal */
    struct node **args;
    uint32_t n_args, depth; /* depth: of this subtree, at least 1 */
    struct selector *selector;
    bool returns_bool, fills;  /* of NODE_BINARY */
    bool has_offset, has_time; /* offset; @ */
};

struct expression {
    struct ss_span text; /* borrowed */
    struct node *root;
    struct selector **selectors;
    size_t n_selectors;
    const char *later; /* a feature it uses that Prometheus 2.42 does not have, or NULL; static */
};

/* 0; EINVAL (positive) with *error set, its position relative to the text; -ENOMEM. text must outlive the tree. */
int expression_parse(struct expression *expression, struct arena *arena, struct ss_span text,
                     struct promql_error *error);

#endif
