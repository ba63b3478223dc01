/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_LEXER_H
#define PROMQL_LEXER_H
/*
 * Splits a PromQL expression into tokens.
 *
 * Tokens depend on the context: in braces names have no colon and there are no keywords; in brackets a colon is a token
 * of its own.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

enum token_kind {
    TOKEN_END,
    TOKEN_ERROR, /* see lexer.reason */
    TOKEN_IDENTIFIER,
    TOKEN_METRIC, /* an identifier with a colon */
    TOKEN_NUMBER,
    TOKEN_DURATION,
    TOKEN_STRING,
    /* Operators, in groups of one precedence. */
    TOKEN_OR,
    TOKEN_AND,
    TOKEN_UNLESS,
    TOKEN_EQL, /* == */
    TOKEN_NEQ,
    TOKEN_GTR,
    TOKEN_LSS,
    TOKEN_GTE,
    TOKEN_LTE,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_MOD,
    TOKEN_ATAN2,
    TOKEN_POW,
    /* Matchers; != is TOKEN_NEQ. */
    TOKEN_ASSIGN,
    TOKEN_MATCH,
    TOKEN_NOT_MATCH,
    TOKEN_LEFT_PAREN,
    TOKEN_RIGHT_PAREN,
    TOKEN_LEFT_BRACE,
    TOKEN_RIGHT_BRACE,
    TOKEN_LEFT_BRACKET,
    TOKEN_RIGHT_BRACKET,
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_AT,
    /* Aggregators. */
    TOKEN_SUM,
    TOKEN_AVG,
    TOKEN_COUNT,
    TOKEN_MIN,
    TOKEN_MAX,
    TOKEN_GROUP,
    TOKEN_STDDEV,
    TOKEN_STDVAR,
    TOKEN_TOPK,
    TOKEN_BOTTOMK,
    TOKEN_COUNT_VALUES,
    TOKEN_QUANTILE,
    TOKEN_LIMITK,
    TOKEN_LIMIT_RATIO,
    /* Other keywords. */
    TOKEN_OFFSET,
    TOKEN_SMOOTHED,
    TOKEN_ANCHORED,
    TOKEN_BY,
    TOKEN_WITHOUT,
    TOKEN_ON,
    TOKEN_IGNORING,
    TOKEN_GROUP_LEFT,
    TOKEN_GROUP_RIGHT,
    TOKEN_FILL,
    TOKEN_FILL_LEFT,
    TOKEN_FILL_RIGHT,
    TOKEN_BOOL,
    TOKEN_START,
    TOKEN_STEP,
    TOKEN_RANGE,
    TOKEN_STOP, /* end */
};

struct token {
    enum token_kind kind;
    struct ss_span text; /* as written, with quotes */
};

struct lexer {
    struct ss_span text;
    size_t at;
    bool in_braces, in_brackets;
    char reason[160]; /* of TOKEN_ERROR */
};

/* The next token, which borrows the text of the lexer. TOKEN_END and TOKEN_ERROR repeat. */
struct token lexer_next(struct lexer *lexer);

/* The name of a token in messages, such as "`by`". name has TOKEN_NAME bytes. */
enum { TOKEN_NAME = 64 };
const char *token_name(const struct token *token, char name[TOKEN_NAME]);

static inline bool
token_is_aggregator(enum token_kind kind)
{
    return kind >= TOKEN_SUM && kind <= TOKEN_LIMIT_RATIO;
}

static inline bool
token_is_comparison(enum token_kind kind)
{
    return kind >= TOKEN_EQL && kind <= TOKEN_LTE;
}

static inline bool
token_is_set_operator(enum token_kind kind)
{
    return kind >= TOKEN_OR && kind <= TOKEN_UNLESS;
}

/* A word that is a keyword outside braces. */
static inline bool
token_is_word(enum token_kind kind)
{
    return token_is_set_operator(kind) || kind == TOKEN_ATAN2 || kind >= TOKEN_SUM;
}

#endif
