/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include "find.h"

struct ss_span
name_unescape(const struct name *name, char *scratch)
{
    if (!name->escaped)
        return name->raw;

    char *out = scratch;
    for (size_t i = 0; i < name->raw.len; i++) {
        char c = name->raw.ptr[i];
        if (c == '\\' && i + 1 < name->raw.len) {
            char next = name->raw.ptr[i + 1];
            if (next == '\\' || next == '"' || next == 'n') {
                c = next == 'n' ? '\n' : next;
                i++;
            }
        }
        *out++ = c;
    }
    return (struct ss_span){scratch, (size_t)(out - scratch)};
}

/* [a-zA-Z_:] may start a name. */
static bool
begins_name(char c)
{
    unsigned char letter = (unsigned char)(c | ' ');
    return (letter >= 'a' && letter <= 'z') || c == '_' || c == ':';
}

const char *
name_end(const char *p, const char *end)
{
    return p < end && begins_name(*p) ? find_no_name(p + 1, end) : p;
}

static const char *
quote_or_backslash(const char *p, const char *end)
{
    return find_any(p, end, '"', '\\', '"');
}

const char *
quoted_read(const char *p, const char *end, struct name *name)
{
    const char *start = ++p;
    name->escaped = false;
    for (p = quote_or_backslash(p, end); p < end && *p == '\\'; p = quote_or_backslash(p + 2, end)) {
        name->escaped = true;
        if (end - p < 2)
            return NULL;
    }
    if (p >= end)
        return NULL;
    name->raw = (struct ss_span){start, (size_t)(p - start)};
    return p + 1;
}

static const char *
skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

struct labels
labels_in_text(const char *after_brace, const char *end)
{
    return (struct labels){.p = after_brace, .end = end, .first = true};
}

static bool
set_broken(struct labels *l)
{
    l->broken = true;
    return false;
}

/* Reads the value after a label's name. */
static bool
read_value(struct labels *l, const char *p, struct label *label)
{
    p = skip_blanks(p + 1, l->end);
    if (p == l->end || *p != '"' || !(p = quoted_read(p, l->end, &label->value)))
        return set_broken(l);
    l->p = p;
    return true;
}

bool
labels_next(struct labels *l, struct label *label)
{
    for (;; l->first = false) {
        const char *p = l->p, *end = l->end, *after;
        while (p < end && (*p == ',' || *p == ' ' || *p == '\t')) {
            l->first &= *p != ',';
            p++;
        }
        if (p == end)
            return set_broken(l);
        if (*p == '}') {
            l->p = p + 1;
            return false;
        }
        if (*p == '"') {
            if (!(after = quoted_read(p, end, &label->name)))
                return set_broken(l);
        } else {
            after = name_end(p, end);
            if (after == p)
                return set_broken(l);
            label->name = (struct name){{p, (size_t)(after - p)}, false};
        }
        l->p = skip_blanks(after, end);
        if (l->p < end && *l->p == '=') {
            l->first = false;
            return read_value(l, l->p, label);
        }
        if (*p != '"')
            return set_broken(l);
        if (!l->metric.raw.ptr) {
            l->metric = label->name;
            l->metric_end = l->first ? after : NULL;
        }
    }
}
