/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps a byte of a scalar back to the file. libyaml reports where a scalar begins; from there file and value are
 * compared byte by byte: where they differ, the file has an escape, an indentation or a folded line break.
 */
#include "yaml_tree.h"

#include <string.h>

struct yaml_walk {
    const char *p, *end;
    uint32_t line, column;
};

/* The length of a line break as libyaml defines it, or 0. */
static size_t
break_len(const struct yaml_walk *w)
{
    size_t left = (size_t)(w->end - w->p);
    if (!left)
        return 0;
    if (*w->p == '\n')
        return 1;
    if (*w->p == '\r')
        return left > 1 && w->p[1] == '\n' ? 2 : 1;
    if (left > 1 && !memcmp(w->p, "\xc2\x85", 2))
        return 2;
    return left > 2 && (!memcmp(w->p, "\xe2\x80\xa8", 3) || !memcmp(w->p, "\xe2\x80\xa9", 3)) ? 3 : 0;
}

/* Advances by one byte or one line break. */
static void
step(struct yaml_walk *w)
{
    size_t len = break_len(w);
    if (len) {
        w->p += len;
        w->line++;
        w->column = 1;
        return;
    }
    w->p++;
    /* A character counts after its last byte. */
    w->column += w->p == w->end || ((unsigned char)*w->p & 0xc0) != 0x80;
}

static bool
is_blank(const struct yaml_walk *w)
{
    return w->p < w->end && (*w->p == ' ' || *w->p == '\t');
}

static void
skip_to_line(struct yaml_walk *w, uint32_t line)
{
    while (w->p < w->end && w->line < line)
        step(w);
}

/* Advances to the first byte of the value: after an anchor or tag, the quote, or the line with | or >. */
static void
skip_to_value(struct yaml_walk *w, const struct yaml_value *v)
{
    while (w->p < w->end && w->line == v->line && w->column < v->column)
        step(w);
    while (w->p < w->end && (*w->p == '&' || *w->p == '!')) {
        while (w->p < w->end && !is_blank(w) && !break_len(w))
            step(w);
        while (is_blank(w) || break_len(w))
            step(w);
    }
    if (v->style == YAML_BLOCK)
        skip_to_line(w, w->line + 1);
    else if (v->style != YAML_PLAIN && w->p < w->end)
        step(w);
}

/* Skips an escape of a double-quoted scalar; returns how many bytes of the value it encodes. */
static size_t
pass_escape(struct yaml_walk *w, unsigned char meant)
{
    step(w);
    if (w->p == w->end)
        return 1;
    if (break_len(w)) {
        step(w);
        while (is_blank(w))
            step(w);
        return 0;
    }
    size_t digits = *w->p == 'x' ? 2 : *w->p == 'u' ? 4 : *w->p == 'U' ? 8 : 0;
    bool wide = digits || *w->p == 'N' || *w->p == '_' || *w->p == 'L' || *w->p == 'P';
    step(w);
    while (digits-- && w->p < w->end)
        step(w);
    return !wide || meant < 0x80 ? 1 : meant < 0xe0 ? 2 : meant < 0xf0 ? 3 : 4;
}

/* Advances over the source of one or more bytes of the value; returns how many. */
static size_t
pass(struct yaml_walk *w, const struct yaml_value *v, unsigned char meant)
{
    bool gap = meant == ' ' || meant == '\n';

    for (;;) {
        if (w->p == w->end)
            return 1;
        if (v->style == YAML_DOUBLE_QUOTED && *w->p == '\\') {
            size_t n = pass_escape(w, meant);
            if (n)
                return n;
        } else if ((unsigned char)*w->p == meant) {
            bool doubled = v->style == YAML_QUOTED && meant == '\'';
            step(w);
            if (doubled && w->p < w->end)
                step(w);
            return 1;
        } else if (break_len(w)) {
            step(w);
            if (gap)
                return 1;
        } else if (is_blank(w)) {
            step(w);
        } else {
            return 1; /* a line break that was skipped before, as in a folded paragraph */
        }
    }
}

void
yaml_locate(struct ss_span file, const struct yaml_value *v, size_t offset, struct promql_error *error)
{
    struct yaml_walk w = {file.ptr, file.ptr + file.len, 1, 1};

    if (file.len >= 3 && !memcmp(file.ptr, "\xef\xbb\xbf", 3))
        w.p += 3;
    skip_to_line(&w, v->line);
    skip_to_value(&w, v);
    for (size_t i = 0; i < offset && i < v->text.len;)
        i += pass(&w, v, (unsigned char)v->text.ptr[i]);
    /* Skip what precedes the byte itself. */
    while (offset < v->text.len && v->text.ptr[offset] != ' ' && v->text.ptr[offset] != '\n' &&
           (is_blank(&w) || break_len(&w)))
        step(&w);
    error->line = error->begins = w.line;
    error->column = w.column;
}
