/* SPDX-License-Identifier: Apache-2.0 */
/* Templates in rule files: the queries of annotations, and the detection of unrendered Helm templates. */
#include "ruleset.h"

#include "core/base/buffer.h"
#include "core/base/unquote.h"

#include <errno.h>
#include <stdlib.h>

struct template_cursor {
    const char *p, *end;
};

static bool
is_at(const struct template_cursor *c, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(c->end - c->p) >= len && !memcmp(c->p, word, len);
}

static bool
is_word(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
}

static void
skip_blanks(struct template_cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

/* A quoted Go string, or an empty span. */
static struct ss_span
take_string(struct template_cursor *c)
{
    const char *start = c->p;
    char quote = c->p < c->end ? *c->p : 0;

    if (quote != '"' && quote != '`')
        return (struct ss_span){NULL, 0};
    for (c->p++; c->p < c->end && *c->p != quote; c->p++)
        if (*c->p == '\\' && quote == '"' && c->p + 1 < c->end)
            c->p++;
    if (c->p == c->end)
        return (struct ss_span){NULL, 0};
    c->p++;
    return (struct ss_span){start, (size_t)(c->p - start)};
}

/* Makes room for one more query. The list has room for a power of two, and is copied when that is full. */
static int
reserve_query(struct arena *arena, struct prom_rule *rule)
{
    size_t n = rule->n_queries;
    if (n & (n - 1))
        return 0;
    struct expression *queries = arena_alloc(arena, (n ? 2 * n : 1) * sizeof(*queries));
    if (!queries)
        return -ENOMEM;
    if (n)
        memcpy(queries, rule->queries, n * sizeof(*queries));
    rule->queries = queries;
    return 0;
}

static int
add_query(struct ruleset *rules, struct prom_rule *rule, struct ss_span quoted)
{
    struct promql_error error;
    struct expression query;
    struct ss_span text;
    const char *reason;

    int r = quoted.len ? string_unquote(quoted, &rules->arena, &text, &reason) : EINVAL;
    if (!r)
        text = arena_copy(&rules->arena, text);
    if (!r && !text.ptr)
        r = -ENOMEM;
    if (!r)
        r = expression_parse(&query, &rules->arena, text, &error);
    if (r > 0)
        rule->has_unreadable_query = true;
    if (r)
        return r > 0 ? 0 : r;
    r = reserve_query(&rules->arena, rule);
    if (!r)
        rule->queries[rule->n_queries++] = query;
    return r;
}

/* Reads the argument of `query`: a string, or the format of printf, whose verbs are in label values. */
static int
read_query(struct ruleset *rules, struct prom_rule *rule, struct template_cursor *c)
{
    skip_blanks(c);
    if (c->p < c->end && *c->p == '(') {
        c->p++;
        skip_blanks(c);
    }
    if (is_at(c, "printf")) {
        c->p += strlen("printf");
        skip_blanks(c);
    }
    return add_query(rules, rule, take_string(c));
}

/* Reads one action, starting after {{. */
static int
read_action(struct ruleset *rules, struct prom_rule *rule, struct template_cursor *c)
{
    static const char word[] = "query";
    int r = 0;

    while (!r && c->p < c->end && !is_at(c, "}}")) {
        if (*c->p == '"' || *c->p == '`') {
            if (!take_string(c).len)
                return 0;
        } else if (is_word(*c->p) || *c->p == '.' || *c->p == '$') {
            const char *start = c->p;
            while (c->p < c->end && (is_word(*c->p) || *c->p == '.' || *c->p == '$'))
                c->p++;
            if (spans_equal((struct ss_span){start, (size_t)(c->p - start)}, (struct ss_span){word, strlen(word)}))
                r = read_query(rules, rule, c);
        } else {
            c->p++;
        }
    }
    return r;
}

int
ruleset_read_template(struct ruleset *rules, struct prom_rule *rule, struct ss_span text)
{
    struct template_cursor c = {text.ptr, text.ptr + text.len};
    int r = 0;

    while (!r && (c.p = memmem(c.p, (size_t)(c.end - c.p), "{{", 2)) != NULL) {
        c.p += 2;
        r = read_action(rules, rule, &c);
    }
    return r;
}

/* Helm. */

/* Whether a line has an action that Prometheus' own templates never have. */
static bool
has_helm_syntax(struct ss_span line)
{
    static const char *const words[] = {".Values", ".Release", ".Chart", ".Capabilities", "include \"", "toYaml"};
    const char *open = memmem(line.ptr, line.len, "{{", 2);

    if (!open)
        return false;
    size_t left = line.len - (size_t)(open - line.ptr);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (memmem(open, left, words[i], strlen(words[i])))
            return true;
    return false;
}

/* Takes a line off the front of the text. */
static struct ss_span
take_line(struct ss_span *text)
{
    const char *stop = memchr(text->ptr, '\n', text->len);
    struct ss_span line = {text->ptr, stop ? (size_t)(stop - text->ptr) : text->len};
    size_t taken = line.len + (stop != NULL);
    *text = (struct ss_span){text->ptr + taken, text->len - taken};
    return line;
}

uint32_t
ruleset_find_helm(struct ss_span text)
{
    for (uint32_t number = 1; text.len; number++)
        if (has_helm_syntax(take_line(&text)))
            return number;
    return 0;
}

bool
ruleset_starts_with_action(struct ss_span text, uint32_t line)
{
    for (uint32_t number = 1; text.len; number++) {
        struct ss_span found = take_line(&text);
        struct template_cursor c = {found.ptr, found.ptr + found.len};
        if (number < line)
            continue;
        skip_blanks(&c);
        return number == line && is_at(&c, "{{");
    }
    return false;
}
