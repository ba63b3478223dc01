/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and parses the selector of a rule. */
#include "core/base/buffer.h"
#include "core/base/unquote.h"
#include "selector.h"

#include <errno.h>
#include <stdlib.h>

/* A position in a rule. */
struct reader {
    const char *p, *end;
};

static char
peek(const struct reader *r)
{
    return r->p < r->end ? *r->p : 0;
}

static void
skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t')
        r->p++;
}

/* Skips a quoted string. False: it has no end. */
static bool
skip_quoted(struct reader *r)
{
    char quote = *r->p;
    for (const char *p = r->p + 1; p < r->end; p++) {
        if (*p == quote) {
            r->p = p + 1;
            return true;
        }
        p += *p == '\\' && quote != '`';
    }
    return false;
}

static bool
is_quote(char c)
{
    return c == '"' || c == '\'' || c == '`';
}

static bool
is_letter(char c)
{
    return ((c | ' ') >= 'a' && (c | ' ') <= 'z') || c == '_';
}

/* Skips a label's name, [a-zA-Z_][a-zA-Z0-9_]*, perhaps empty. */
static void
skip_name(struct reader *r)
{
    if (!is_letter(peek(r)))
        return;
    while (is_letter(peek(r)) || (peek(r) >= '0' && peek(r) <= '9'))
        r->p++;
}

struct match_operator {
    char text[3];
    bool regex, negated;
};

/* Skips an operator; NULL if there is none. */
static const struct match_operator *
skip_operator(struct reader *r)
{
    static const struct match_operator operators[] = {
        {"=~", true, false}, {"!~", true, true}, {"!=", false, true}, {"=", false, false}};
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t len = strlen(operators[i].text);
        if ((size_t)(r->end - r->p) >= len && !memcmp(r->p, operators[i].text, len)) {
            r->p += len;
            return &operators[i];
        }
    }
    return NULL;
}

/* Where it starts. */

/* Whether the brace at p starts a selector: a label's name and an operator follow, or nothing up to the end. */
static bool
starts_selector(const char *p, const char *end)
{
    struct reader r = {p + 1, end};
    skip_blanks(&r);
    if (peek(&r) == '}') {
        r.p++;
        skip_blanks(&r);
        return r.p == end;
    }
    const char *name = r.p;
    if (!is_quote(peek(&r)))
        skip_name(&r);
    else if (!skip_quoted(&r))
        return false;
    if (r.p == name)
        return false;
    skip_blanks(&r);
    return skip_operator(&r);
}

/* Skips up to and including a text; to the end if it does not occur. */
static void
skip_past(struct reader *r, const char *text)
{
    const char *found = memmem(r->p, (size_t)(r->end - r->p), text, strlen(text));
    r->p = found ? found + strlen(text) : r->end;
}

/* Skips an escape: \Q up to \E, and the braces of \p{Greek}, \x{e9} and the like. */
static void
skip_escape(struct reader *r)
{
    char letter = r->end - r->p > 1 ? r->p[1] : 0;
    r->p = r->end - r->p > 2 ? r->p + 2 : r->end;
    if (letter == 'Q')
        skip_past(r, "\\E");
    else if (peek(r) == '{' && letter && strchr("pPxoNgku", letter))
        skip_past(r, "}");
}

/* Skips a class, in which a closing bracket that comes first is an ordinary character. */
static void
skip_class(struct reader *r)
{
    r->p++;
    if (peek(r) == '^')
        r->p++;
    if (peek(r) == ']')
        r->p++;
    while (r->p < r->end && *r->p != ']') {
        if (*r->p == '\\')
            skip_escape(r);
        else if (r->end - r->p > 1 && r->p[0] == '[' && r->p[1] == ':')
            skip_past(r, ":]");
        else
            r->p++;
    }
    if (r->p < r->end)
        r->p++;
}

size_t
selector_find(struct ss_span rule)
{
    struct reader r = {rule.ptr, rule.ptr + rule.len};
    while (r.p < r.end) {
        if (*r.p == '{' && starts_selector(r.p, r.end))
            return (size_t)(r.p - rule.ptr);
        if (*r.p == '\\')
            skip_escape(&r);
        else if (*r.p == '[')
            skip_class(&r);
        else if (r.end - r.p > 2 && !memcmp(r.p, "(?#", 3))
            skip_past(&r, ")");
        else
            r.p++;
    }
    return rule.len;
}

/* What it selects. */

struct parser {
    struct reader reader;
    const char *start;
    struct name_table *labels;
    struct arena *arena;
    struct ss_rule_error *error;
};

static int
refuse_at(struct parser *p, const char *at, const char *reason)
{
    return rule_refuse(p->error, (size_t)(at - p->start), reason);
}

/* Reads a quoted string. */
static int
read_string(struct parser *p, struct ss_span *out)
{
    struct reader *r = &p->reader;
    const char *quote = r->p, *reason;
    if (!skip_quoted(r))
        return refuse_at(p, quote, "unterminated string, expected a closing quote");
    int result = string_unquote((struct ss_span){quote, (size_t)(r->p - quote)}, p->arena, out, &reason);
    return result > 0 ? refuse_at(p, quote, reason) : result;
}

/* Reads the name of a label. */
static int
read_label(struct parser *p, struct ss_span *out)
{
    struct reader *r = &p->reader;
    *out = (struct ss_span){r->p, 0};
    if (is_quote(peek(r)))
        return read_string(p, out);
    skip_name(r);
    out->len = (size_t)(r->p - out->ptr);
    return out->len ? 0 : refuse_at(p, r->p, "expected a label name, or } after the last matcher");
}

/* Numbers a label; start is where it is written. */
static int
number_label(struct parser *p, struct ss_span label, const char *start, uint32_t *numberp)
{
    static const struct {
        const char *name, *reason;
    } refused[] = {
        {"le", "le cannot be selected, because the buckets of a histogram stay together (expected another label)"},
        {"quantile",
         "quantile cannot be selected, because the quantiles of a summary stay together (expected another label)"},
        {"__name__", "__name__ cannot be selected, expected a pattern of names before the {"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (spans_equal(label, (struct ss_span){refused[i].name, strlen(refused[i].name)}))
            return refuse_at(p, start, refused[i].reason);
    if (!name_table_find(p->labels, label) && p->labels->n == CORE_MAX_SELECTOR_LABELS)
        return refuse_at(p, start, "more than 64 different labels in all selectors");
    return name_table_add(p->labels, label, numberp);
}

/* Compiles the regular expression of a matcher, whose value is written at quote. */
static int
compile(struct parser *p, struct selector_matcher *m, const char *quote)
{
    size_t written = (size_t)(p->reader.p - quote);
    int r = regex_compile(&m->code, m->value, p->error);
    /* With escapes, the place in the expression is not that in the text. */
    if (r > 0)
        p->error->offset = (size_t)(quote - p->start) + (m->value.len + 2 == written ? 1 + p->error->offset : 0);
    if (r)
        return r;
    m->cache = calloc(CORE_SELECTOR_VALUES, sizeof(*m->cache));
    return m->cache ? 0 : -ENOMEM;
}

/* Reads one matcher into *m, which selector_deinit() can free in all cases. */
static int
read_matcher(struct parser *p, struct selector_matcher *m)
{
    struct reader *r = &p->reader;
    const char *start = r->p;
    struct ss_span label;

    int result = read_label(p, &label);
    if (!result)
        result = number_label(p, label, start, &m->label);
    if (result)
        return result;
    skip_blanks(r);
    const struct match_operator *op = skip_operator(r);
    if (!op)
        return refuse_at(p, r->p, "expected =, !=, =~ or !~ after the label name");
    m->negated = op->negated;
    skip_blanks(r);
    const char *quote = r->p;
    if (!is_quote(peek(r)))
        return refuse_at(p, quote, "expected a quoted value such as \"x\"");
    result = read_string(p, &m->value);
    return result || !op->regex ? result : compile(p, m, quote);
}

/* Reads the matchers and the closing brace. */
static int
read_matchers(struct parser *p, struct rule_selector *s)
{
    struct reader *r = &p->reader;
    for (;;) {
        skip_blanks(r);
        if (peek(r) == '}') {
            r->p++;
            return 0;
        }
        s->matchers[s->n] = (struct selector_matcher){.code = NULL};
        int result = read_matcher(p, &s->matchers[s->n++]);
        if (result)
            return result;
        skip_blanks(r);
        if (peek(r) == ',')
            r->p++;
        else if (peek(r) != '}')
            return refuse_at(p, r->p, "expected a comma or } after the value");
    }
}

int
selector_parse(struct rule_selector *s, struct ss_span text, struct name_table *labels, struct arena *arena,
               struct ss_rule_error *error)
{
    struct parser p = {{text.ptr + 1, text.ptr + text.len}, text.ptr, labels, arena, error};
    if (text.len > CORE_MAX_SELECTOR_BYTES)
        return rule_refuse(error, 0, "a selector longer than 4096 bytes");
    /* Each matcher takes at least four bytes:  a="" without its comma. */
    s->matchers = arena_alloc(arena, (text.len / 4 + 1) * sizeof(*s->matchers));
    int r = s->matchers ? read_matchers(&p, s) : -ENOMEM;
    if (r)
        return r;
    skip_blanks(&p.reader);
    return p.reader.p == p.reader.end
               ? 0
               : refuse_at(&p, p.reader.p, "unexpected text after the selector (a { of the pattern is written \\{)");
}
