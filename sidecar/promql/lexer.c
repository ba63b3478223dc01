/* SPDX-License-Identifier: Apache-2.0 */
#include "lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *word;
    enum token_kind kind;
} keywords[] = {
    {"and", TOKEN_AND},
    {"or", TOKEN_OR},
    {"unless", TOKEN_UNLESS},
    {"atan2", TOKEN_ATAN2},
    {"sum", TOKEN_SUM},
    {"avg", TOKEN_AVG},
    {"count", TOKEN_COUNT},
    {"min", TOKEN_MIN},
    {"max", TOKEN_MAX},
    {"group", TOKEN_GROUP},
    {"stddev", TOKEN_STDDEV},
    {"stdvar", TOKEN_STDVAR},
    {"topk", TOKEN_TOPK},
    {"bottomk", TOKEN_BOTTOMK},
    {"count_values", TOKEN_COUNT_VALUES},
    {"quantile", TOKEN_QUANTILE},
    {"limitk", TOKEN_LIMITK},
    {"limit_ratio", TOKEN_LIMIT_RATIO},
    {"offset", TOKEN_OFFSET},
    {"smoothed", TOKEN_SMOOTHED},
    {"anchored", TOKEN_ANCHORED},
    {"by", TOKEN_BY},
    {"without", TOKEN_WITHOUT},
    {"on", TOKEN_ON},
    {"ignoring", TOKEN_IGNORING},
    {"group_left", TOKEN_GROUP_LEFT},
    {"group_right", TOKEN_GROUP_RIGHT},
    {"fill", TOKEN_FILL},
    {"fill_left", TOKEN_FILL_LEFT},
    {"fill_right", TOKEN_FILL_RIGHT},
    {"bool", TOKEN_BOOL},
    {"start", TOKEN_START},
    {"end", TOKEN_STOP},
    {"step", TOKEN_STEP},
    {"range", TOKEN_RANGE},
    {"inf", TOKEN_NUMBER},
    {"nan", TOKEN_NUMBER},
};

static struct token __attribute__((format(printf, 2, 3))) refuse(struct lexer *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->reason, sizeof(l->reason), format, args);
    va_end(args);
    return (struct token){TOKEN_ERROR, {l->text.ptr + l->at, 0}};
}

/* The byte that many positions ahead; 0 at the end. */
static unsigned char
peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.len ? (unsigned char)l->text.ptr[l->at + ahead] : 0;
}

static struct token
take(struct lexer *l, enum token_kind kind, size_t len)
{
    struct token token = {kind, {l->text.ptr + l->at, len}};
    l->at += len;
    return token;
}

static bool
is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(unsigned char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
}

static bool
is_word(unsigned char c)
{
    return is_letter(c) || is_digit(c);
}

static void
skip_blanks_and_comments(struct lexer *l)
{
    for (; l->at < l->text.len; l->at++) {
        unsigned char c = peek(l, 0);
        if (c == '#')
            while (l->at + 1 < l->text.len && peek(l, 1) != '\n')
                l->at++;
        else if (!is_blank(c))
            return;
    }
}

/* Strings. */

static struct token
lex_string(struct lexer *l)
{
    unsigned char quote = peek(l, 0);
    size_t len = 1;

    for (; l->at + len < l->text.len; len++) {
        unsigned char c = peek(l, len);
        if (c == quote)
            return take(l, TOKEN_STRING, len + 1);
        if (quote == '`')
            continue;
        if (c == '\n')
            break;
        len += c == '\\';
    }
    return quote == '`' ? refuse(l, "unterminated raw string; expected a closing `")
                        : refuse(l, "unterminated string; expected a closing %c on the same line", quote);
}

/* Numbers and durations. */

static size_t
digits_len(const struct lexer *l, size_t at, bool hex)
{
    size_t len = 0;
    for (unsigned char c; (c = peek(l, at + len)) != 0; len++) {
        bool digit = is_digit(c) || (hex && (c | 0x20) >= 'a' && (c | 0x20) <= 'f');
        bool underscore = c == '_' && len && (is_digit(peek(l, at + len + 1)) || (hex && peek(l, at + len + 1) != '_'));
        if (!digit && !underscore)
            break;
    }
    return len;
}

/* The length of a number, or 0. */
static size_t
number_len(const struct lexer *l)
{
    if (peek(l, 0) == '0' && (peek(l, 1) | 0x20) == 'x') {
        size_t hex = digits_len(l, 2, true);
        return hex ? 2 + hex : 0;
    }
    size_t whole = digits_len(l, 0, false), len = whole, part = 0;
    if (peek(l, len) == '.')
        len += 1 + (part = digits_len(l, len + 1, false));
    if (!whole && !part)
        return 0;
    if ((peek(l, len) | 0x20) == 'e') {
        size_t sign = peek(l, len + 1) == '+' || peek(l, len + 1) == '-';
        size_t exponent = digits_len(l, len + 1 + sign, false);
        if (!exponent)
            return 0;
        len += 1 + sign + exponent;
    }
    return len;
}

/* The length of a duration such as 1h30m, with decreasing units; or 0. */
static size_t
duration_len(const struct lexer *l)
{
    static const char *const units[] = {"y", "w", "d", "h", "m", "s", "ms"};
    enum { UNITS = sizeof(units) / sizeof(units[0]) };
    size_t len = 0;

    for (size_t next = 0; is_digit(peek(l, len));) {
        size_t digits = 0, unit = 0;
        while (is_digit(peek(l, len + digits)))
            digits++;
        while (is_letter(peek(l, len + digits + unit)))
            unit++;
        size_t u = next;
        while (u < UNITS && (strlen(units[u]) != unit || memcmp(l->text.ptr + l->at + len + digits, units[u], unit)))
            u++;
        if (u == UNITS)
            return 0;
        next = u + 1;
        len += digits + unit;
    }
    return len;
}

static struct token
lex_number(struct lexer *l)
{
    size_t len = number_len(l);
    if (len && !is_word(peek(l, len)))
        return take(l, TOKEN_NUMBER, len);
    len = duration_len(l);
    if (len && !is_word(peek(l, len)))
        return take(l, TOKEN_DURATION, len);
    for (len = 0; is_word(peek(l, len)) || peek(l, len) == '.';)
        len++;
    return refuse(l, "expected a number or a duration such as 1h30m, got \"%.*s\"", len < 60 ? (int)len : 60,
                  l->text.ptr + l->at);
}

/* Words. */

static struct token
lex_word(struct lexer *l)
{
    size_t len = 0;
    bool colon = false;

    for (;; len++) {
        unsigned char c = peek(l, len);
        if (!is_word(c) && (c != ':' || l->in_braces || l->in_brackets))
            break;
        colon |= c == ':';
    }
    for (size_t i = 0; !l->in_braces && !colon && i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (strlen(keywords[i].word) == len && !strncasecmp(keywords[i].word, l->text.ptr + l->at, len))
            return take(l, keywords[i].kind, len);
    return take(l, colon ? TOKEN_METRIC : TOKEN_IDENTIFIER, len);
}

/* Operators and punctuation. */

static struct token
lex_brace(struct lexer *l, bool opens)
{
    if (opens == l->in_braces)
        return refuse(l, opens ? "expected a label or `}`, got `{`" : "expected `{` before `}`");
    l->in_braces = opens;
    return take(l, opens ? TOKEN_LEFT_BRACE : TOKEN_RIGHT_BRACE, 1);
}

static struct token
lex_bracket(struct lexer *l, bool opens)
{
    if (opens == l->in_brackets)
        return refuse(l, opens ? "expected a duration or `]`, got `[`" : "expected `[` before `]`");
    l->in_brackets = opens;
    return take(l, opens ? TOKEN_LEFT_BRACKET : TOKEN_RIGHT_BRACKET, 1);
}

static struct token
lex_sign(struct lexer *l)
{
    unsigned char c = peek(l, 0), next = peek(l, 1);

    switch (c) {
    case '{':
    case '}':
        return lex_brace(l, c == '{');
    case '[':
    case ']':
        return lex_bracket(l, c == '[');
    case ',':
        return take(l, TOKEN_COMMA, 1);
    case '(':
        return take(l, TOKEN_LEFT_PAREN, 1);
    case ')':
        return take(l, TOKEN_RIGHT_PAREN, 1);
    case '+':
        return take(l, TOKEN_ADD, 1);
    case '-':
        return take(l, TOKEN_SUB, 1);
    case '*':
        return take(l, TOKEN_MUL, 1);
    case '/':
        return take(l, TOKEN_DIV, 1);
    case '%':
        return take(l, TOKEN_MOD, 1);
    case '^':
        return take(l, TOKEN_POW, 1);
    case '@':
        return take(l, TOKEN_AT, 1);
    case '=':
        return next == '=' ? take(l, TOKEN_EQL, 2) : next == '~' ? take(l, TOKEN_MATCH, 2) : take(l, TOKEN_ASSIGN, 1);
    case '!':
        if (next == '=' || next == '~')
            return take(l, next == '=' ? TOKEN_NEQ : TOKEN_NOT_MATCH, 2);
        return refuse(l, "expected != or !~, got !");
    case '>':
        return next == '=' ? take(l, TOKEN_GTE, 2) : take(l, TOKEN_GTR, 1);
    case '<':
        return next == '=' ? take(l, TOKEN_LTE, 2) : take(l, TOKEN_LSS, 1);
    case ':':
        if (l->in_brackets)
            return take(l, TOKEN_COLON, 1);
        break;
    default:
        break;
    }
    return c > ' ' && c < 0x7f ? refuse(l, "expected an expression or an operator, got \"%c\"", c)
                               : refuse(l, "expected an expression or an operator, got the byte 0x%02x", c);
}

struct token
lexer_next(struct lexer *l)
{
    if (*l->reason)
        return (struct token){TOKEN_ERROR, {l->text.ptr + l->at, 0}};
    skip_blanks_and_comments(l);
    if (l->at == l->text.len)
        return (struct token){TOKEN_END, {l->text.ptr + l->at, 0}};
    unsigned char c = peek(l, 0);
    if (c == '"' || c == '\'' || c == '`')
        return lex_string(l);
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
        return lex_number(l);
    if (is_letter(c) || (c == ':' && !l->in_braces && !l->in_brackets))
        return lex_word(l);
    return lex_sign(l);
}

const char *
token_name(const struct token *token, char name[TOKEN_NAME])
{
    int len = token->text.len < 40 ? (int)token->text.len : 40;
    if (token->kind == TOKEN_END)
        snprintf(name, TOKEN_NAME, "the end of the expression");
    else if (token->kind == TOKEN_STRING)
        snprintf(name, TOKEN_NAME, "the string %.*s", len, token->text.ptr);
    else
        snprintf(name, TOKEN_NAME, "`%.*s`", len, token->text.ptr);
    return name;
}
