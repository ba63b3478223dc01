/* SPDX-License-Identifier: Apache-2.0 */
/* Binary operators and their modifiers. */
#include "parser.h"

#include "core/base/buffer.h"

#include <errno.h>

/* fill(0), fill_left(0) and fill_right(0). */
static bool
parse_fills(struct promql_parser *p, struct modifiers *m)
{
    while (p->token.kind >= TOKEN_FILL && p->token.kind <= TOKEN_FILL_RIGHT) {
        struct lexer ahead = p->lexer;
        if (lexer_next(&ahead).kind != TOKEN_LEFT_PAREN)
            break; /* a metric named fill */
        m->fills = true;
        p->later = "fill()";
        parser_take(p);
        parser_take(p);
        if (p->token.kind == TOKEN_ADD || p->token.kind == TOKEN_SUB)
            parser_take(p);
        if (!parser_take_a(p, TOKEN_NUMBER, "a number") || !parser_take_a(p, TOKEN_RIGHT_PAREN, "`)`"))
            return false;
    }
    return true;
}

bool
parse_modifiers(struct promql_parser *p, struct modifiers *m)
{
    if (p->token.kind == TOKEN_BOOL) {
        m->returns_bool = true;
        parser_take(p);
    }
    if (p->token.kind == TOKEN_ON || p->token.kind == TOKEN_IGNORING) {
        m->on = parser_take(p);
        if (!parse_labels(p, &m->on_labels))
            return false;
        if (p->token.kind == TOKEN_GROUP_LEFT || p->token.kind == TOKEN_GROUP_RIGHT) {
            m->group = parser_take(p);
            if (p->token.kind == TOKEN_LEFT_PAREN && !parse_labels(p, &m->group_labels))
                return false;
        }
    }
    return parse_fills(p, m);
}

static bool
is_in(const struct label_list *list, struct ss_span label)
{
    for (size_t i = 0; i < list->n; i++)
        if (spans_equal(list->items[i], label))
            return true;
    return false;
}

static void
check_matching(struct promql_parser *p, const struct modifiers *m, struct ss_span op, bool vectors, bool set)
{
    if (!vectors) {
        if (m->on_labels.n)
            parser_refuse(p, m->on.text, "%.*s requires an instant vector on both sides", (int)m->on.text.len,
                          m->on.text.ptr);
        if (m->fills)
            parser_refuse(p, op, "fill() requires an instant vector on both sides");
        return;
    }
    if (m->group.kind && set)
        parser_refuse(p, m->group.text, "%.*s cannot be used with %.*s", (int)m->group.text.len, m->group.text.ptr,
                      (int)op.len, op.ptr);
    if (m->fills && set)
        parser_refuse(p, op, "fill() cannot be used with %.*s", (int)op.len, op.ptr);
    for (size_t i = 0; m->on.kind == TOKEN_ON && i < m->group_labels.n; i++)
        if (is_in(&m->on_labels, m->group_labels.items[i]))
            parser_refuse(p, m->group_labels.items[i], "the label %.*s is in both on and %.*s",
                          (int)m->group_labels.items[i].len, m->group_labels.items[i].ptr, (int)m->group.text.len,
                          m->group.text.ptr);
}

static void
check_operands(struct promql_parser *p, const struct token *op, const struct modifiers *m, const struct node *left,
               const struct node *right)
{
    bool comparison = token_is_comparison(op->kind), set = token_is_set_operator(op->kind);
    bool scalars = left->type == TYPE_SCALAR && right->type == TYPE_SCALAR;

    for (int i = 0; i < 2; i++) {
        const struct node *side = i ? right : left;
        if (side->type != TYPE_SCALAR && side->type != TYPE_VECTOR)
            parser_refuse(p, op->text, "expected a scalar or an instant vector on the %s of %.*s, got %s",
                          i ? "right" : "left", (int)op->text.len, op->text.ptr, type_name(side->type));
        else if (set && side->type == TYPE_SCALAR)
            parser_refuse(p, op->text, "expected an instant vector on the %s of %.*s, got a scalar",
                          i ? "right" : "left", (int)op->text.len, op->text.ptr);
    }
    if (m->returns_bool && !comparison)
        parser_refuse(p, op->text, "bool can be used only with comparisons");
    else if (comparison && scalars && !m->returns_bool)
        parser_refuse(p, op->text, "a comparison of two scalars requires bool: %.*s bool", (int)op->text.len,
                      op->text.ptr);
    check_matching(p, m, op->text, left->type == TYPE_VECTOR && right->type == TYPE_VECTOR, set);
}

struct node *
node_binary(struct promql_parser *p, struct token op, const struct modifiers *m, struct node *left, struct node *right)
{
    check_operands(p, &op, m, left, right);
    if (p->result)
        return NULL;
    bool scalars = left->type == TYPE_SCALAR && right->type == TYPE_SCALAR;
    struct node *node = node_new(p, NODE_BINARY, scalars ? TYPE_SCALAR : TYPE_VECTOR, op.text, 2);
    if (!node)
        return NULL;
    node->op = op.kind;
    node->returns_bool = m->returns_bool;
    node->fills = m->fills;
    node->args[0] = left;
    node->args[1] = right;
    return node_finish(p, node);
}
