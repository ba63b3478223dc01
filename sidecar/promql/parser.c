/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses expressions by precedence climbing: an operand, then operators while their precedence is high enough.
 *
 * Precedence, low to high: or; and unless; comparisons; + -; * / % atan2; unary sign; ^ (right-associative).
 */
#include "parser.h"

#include "limits.h"
#include "numbers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { STRENGTH_OR = 1, STRENGTH_AND, STRENGTH_COMPARISON, STRENGTH_SUM, STRENGTH_PRODUCT, STRENGTH_POWER };

/* Errors. */

void
parser_refuse(struct promql_parser *p, struct ss_span at, const char *format, ...)
{
    va_list args;
    if (p->result)
        return;
    p->result = EINVAL;
    p->error->offset = (size_t)(at.ptr - p->lexer.text.ptr);
    va_start(args, format);
    vsnprintf(p->error->reason, sizeof(p->error->reason), format, args);
    va_end(args);
}

void
parser_expected(struct promql_parser *p, const char *what)
{
    char name[TOKEN_NAME];
    if (p->token.kind == TOKEN_ERROR)
        parser_refuse(p, p->token.text, "%s", p->lexer.reason);
    else
        parser_refuse(p, p->token.text, "expected %s, got %s", what, token_name(&p->token, name));
}

/* Tokens. */

struct token
parser_take(struct promql_parser *p)
{
    struct token taken = p->token;
    p->token = lexer_next(&p->lexer);
    return taken;
}

bool
parser_take_a(struct promql_parser *p, enum token_kind kind, const char *what)
{
    if (p->token.kind != kind) {
        parser_expected(p, what);
        return false;
    }
    parser_take(p);
    return true;
}

/* Memory. */

void *
parser_alloc(struct promql_parser *p, size_t size)
{
    void *memory = arena_alloc(p->arena, size ? size : 1);
    if (memory)
        memset(memory, 0, size);
    else
        p->result = -ENOMEM;
    return memory;
}

void *
parser_grow(struct promql_parser *p, void *items, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity)
        return items;
    size_t room = *capacity ? 2 * *capacity : 4;
    void *larger = parser_alloc(p, room * size);
    if (!larger)
        return NULL;
    if (n)
        memcpy(larger, items, n * size);
    *capacity = room;
    return larger;
}

struct node *
node_new(struct promql_parser *p, enum node_kind kind, enum value_type type, struct ss_span text, size_t n)
{
    if (++p->nodes > LIMIT_NODES) {
        parser_refuse(p, text, "the expression has more than %d nodes", LIMIT_NODES);
        return NULL;
    }
    struct node *node = parser_alloc(p, sizeof(*node));
    if (!node || (n && !(node->args = parser_alloc(p, n * sizeof(*node->args)))))
        return NULL;
    node->kind = kind;
    node->type = type;
    node->text = text;
    node->n_args = (uint32_t)n;
    return node;
}

struct node *
node_finish(struct promql_parser *p, struct node *node)
{
    node->depth = 1;
    for (uint32_t i = 0; i < node->n_args; i++)
        if (node->args[i]->depth >= node->depth)
            node->depth = node->args[i]->depth + 1;
    if (node->depth <= LIMIT_TREE_DEPTH)
        return node;
    parser_refuse(p, node->text, "the expression chains more than %d operators", LIMIT_TREE_DEPTH);
    return NULL;
}

const char *
type_name(enum value_type type)
{
    static const char *const names[] = {"a scalar", "an instant vector", "a range vector", "a string"};
    return names[type];
}

/* Expressions. */

static int
strength_of(enum token_kind op)
{
    switch (op) {
    case TOKEN_OR:
        return STRENGTH_OR;
    case TOKEN_AND:
    case TOKEN_UNLESS:
        return STRENGTH_AND;
    case TOKEN_ADD:
    case TOKEN_SUB:
        return STRENGTH_SUM;
    case TOKEN_MUL:
    case TOKEN_DIV:
    case TOKEN_MOD:
    case TOKEN_ATAN2:
        return STRENGTH_PRODUCT;
    case TOKEN_POW:
        return STRENGTH_POWER;
    default:
        return token_is_comparison(op) ? STRENGTH_COMPARISON : 0;
    }
}

static struct node *
parse_number(struct promql_parser *p)
{
    struct token token = parser_take(p);
    double value;
    int64_t ms;
    const char *wrong = token.kind == TOKEN_DURATION ? duration_read(token.text, &ms) : number_read(token.text, &value);

    if (wrong) {
        parser_refuse(p, token.text, "%s", wrong);
        return NULL;
    }
    if (token.kind == TOKEN_DURATION)
        p->later = "a duration as a number";
    else if (memchr(token.text.ptr, '_', token.text.len))
        p->later = "a number with underscores";
    struct node *node = node_new(p, NODE_NUMBER, TYPE_SCALAR, token.text, 0);
    return node ? node_finish(p, node) : NULL;
}

static struct node *
parse_literal(struct promql_parser *p)
{
    struct ss_span value, text = p->token.text;
    if (!parse_string(p, &value))
        return NULL;
    struct node *node = node_new(p, NODE_STRING, TYPE_STRING, text, 0);
    return node ? node_finish(p, node) : NULL;
}

static struct node *
parse_paren(struct promql_parser *p)
{
    struct token open = parser_take(p);
    struct node *inner = parse_expression(p, 0);
    if (!inner || !parser_take_a(p, TOKEN_RIGHT_PAREN, "an operator or `)`"))
        return NULL;
    struct node *node = node_new(p, NODE_PAREN, inner->type, open.text, 1);
    if (!node)
        return NULL;
    node->args[0] = inner;
    return node_finish(p, node);
}

/* The token after a word decides what it is. */
static struct node *
parse_word(struct promql_parser *p)
{
    struct lexer ahead = p->lexer;
    enum token_kind next = lexer_next(&ahead).kind, kind = p->token.kind;

    if (kind == TOKEN_IDENTIFIER && next == TOKEN_LEFT_PAREN)
        return parse_call(p);
    if (token_is_aggregator(kind) && (next == TOKEN_LEFT_PAREN || next == TOKEN_BY || next == TOKEN_WITHOUT))
        return parse_aggregate(p);
    return parse_selector(p);
}

static struct node *
parse_operand(struct promql_parser *p)
{
    switch (p->token.kind) {
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
        return parse_number(p);
    case TOKEN_STRING:
        return parse_literal(p);
    case TOKEN_LEFT_PAREN:
        return parse_paren(p);
    case TOKEN_LEFT_BRACE:
        return parse_selector(p);
    case TOKEN_ON:
    case TOKEN_IGNORING:
    case TOKEN_GROUP_LEFT:
    case TOKEN_GROUP_RIGHT:
    case TOKEN_BOOL:
    case TOKEN_ATAN2:
        break;
    default:
        if (p->token.kind == TOKEN_IDENTIFIER || p->token.kind == TOKEN_METRIC || token_is_word(p->token.kind))
            return parse_word(p);
        break;
    }
    parser_expected(p, "a metric, a function, a number or `(`");
    return NULL;
}

/* A unary sign, whose precedence is below that of ^. */
static struct node *
parse_sign(struct promql_parser *p)
{
    struct token sign = parser_take(p);
    struct node *operand = parse_expression(p, STRENGTH_POWER);
    if (!operand)
        return NULL;
    if (operand->type != TYPE_SCALAR && operand->type != TYPE_VECTOR) {
        parser_refuse(p, sign.text, "expected a scalar or an instant vector after a sign, got %s",
                      type_name(operand->type));
        return NULL;
    }
    struct node *node = node_new(p, NODE_UNARY, operand->type, sign.text, 1);
    if (!node)
        return NULL;
    node->args[0] = operand;
    return node_finish(p, node);
}

static struct node *
parse_operators(struct promql_parser *p, struct node *left, int strength)
{
    for (int own; left && (own = strength_of(p->token.kind)) != 0 && own >= strength;) {
        struct modifiers modifiers = {.returns_bool = false};
        struct token op = parser_take(p);
        if (!parse_modifiers(p, &modifiers))
            return NULL;
        struct node *right = parse_expression(p, own == STRENGTH_POWER ? own : own + 1);
        left = right ? node_binary(p, op, &modifiers, left, right) : NULL;
    }
    return left;
}

struct node *
parse_expression(struct promql_parser *p, int strength)
{
    struct node *left;

    if (++p->nesting > LIMIT_NESTING) {
        parser_refuse(p, p->token.text, "the expression nests deeper than %d levels", LIMIT_NESTING);
        return NULL;
    }
    if (p->token.kind == TOKEN_ADD || p->token.kind == TOKEN_SUB) {
        left = parse_sign(p);
    } else {
        left = parse_operand(p);
        left = left ? parse_suffixes(p, left) : NULL;
    }
    left = parse_operators(p, left, strength);
    p->nesting--;
    return left;
}

/* The whole expression. */

static void
find_line(struct ss_span text, struct promql_error *error)
{
    error->line = error->column = 1;
    for (size_t i = 0; i < error->offset && i < text.len; i++) {
        bool begins = ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
        error->column += begins;
        if (text.ptr[i] != '\n')
            continue;
        error->line++;
        error->column = 1;
    }
}

int
expression_parse(struct expression *e, struct arena *arena, struct ss_span text, struct promql_error *error)
{
    struct promql_parser p = {.lexer = {.text = text}, .arena = arena, .error = error};

    *e = (struct expression){.text = text};
    if (text.len > LIMIT_EXPRESSION) {
        *error = (struct promql_error){.line = 1, .column = 1};
        snprintf(error->reason, sizeof(error->reason), "the expression is longer than %d KiB", LIMIT_EXPRESSION >> 10);
        return EINVAL;
    }
    parser_take(&p);
    e->root = parse_expression(&p, 0);
    if (e->root && p.token.kind != TOKEN_END)
        parser_expected(&p, "an operator or the end of the expression");
    e->selectors = p.selectors;
    e->n_selectors = p.n_selectors;
    e->later = p.later;
    if (p.result == EINVAL)
        find_line(text, error);
    return p.result;
}
