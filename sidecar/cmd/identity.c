/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* First byte of the identity of a series; that of metadata is their kind. The name and the labels follow, each name and
   value after its length. */
enum { SERIES = 'S' };

static int
add_text(struct buffer *bytes, struct ss_span text)
{
    int r = buffer_add(bytes, (struct ss_span){(const char *)&text.len, sizeof(text.len)});
    return r ? r : buffer_add(bytes, text);
}

static struct ss_span
next_text(struct ss_span *left)
{
    struct ss_span text = {left->ptr + sizeof(text.len), 0};
    memcpy(&text.len, left->ptr, sizeof(text.len));
    left->ptr = text.ptr + text.len;
    left->len -= sizeof(text.len) + text.len;
    return text;
}

int
identity_begin(struct identity *x, size_t size)
{
    x->n = 0;
    x->values.len = 0;
    if (size <= x->values.capacity)
        return 0;
    char *ptr = realloc(x->values.ptr, size);
    if (!ptr)
        return -ENOMEM;
    x->values.ptr = ptr;
    x->values.capacity = size;
    return 0;
}

struct ss_span
identity_unescape(struct identity *x, const struct name *name)
{
    struct ss_span bytes = name_unescape(name, x->values.ptr + x->values.len);
    if (name->escaped)
        x->values.len += bytes.len;
    return bytes;
}

int
identity_add(struct identity *x, const struct label *label)
{
    struct identity_label added = {identity_unescape(x, &label->name), identity_unescape(x, &label->value)};
    if (!added.value.len)
        return 0;
    if (x->n == x->capacity) {
        size_t capacity = x->capacity ? 2 * x->capacity : 16;
        struct identity_label *labels = realloc(x->labels, capacity * sizeof(*labels));
        if (!labels)
            return -ENOMEM;
        x->labels = labels;
        x->capacity = capacity;
    }
    x->labels[x->n++] = added;
    return 0;
}

static int
compare_labels(const void *a, const void *b)
{
    const struct identity_label *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int r = memcmp(x->name.ptr, y->name.ptr, n);
    return r ? r : x->name.len < y->name.len ? -1 : x->name.len > y->name.len;
}

int
identity_end(struct identity *x, struct ss_span name)
{
    char kind = SERIES;
    x->bytes.len = 0;
    int r = buffer_add(&x->bytes, (struct ss_span){&kind, 1});
    if (!r)
        r = add_text(&x->bytes, name);
    if (x->n)
        qsort(x->labels, x->n, sizeof(*x->labels), compare_labels);
    for (size_t i = 0; i < x->n && !r; i++) {
        r = add_text(&x->bytes, x->labels[i].name);
        if (!r)
            r = add_text(&x->bytes, x->labels[i].value);
    }
    return r;
}

int
identity_of_meta(struct identity *x, char kind, struct ss_span name)
{
    x->bytes.len = 0;
    int r = buffer_add(&x->bytes, (struct ss_span){&kind, 1});
    return r ? r : add_text(&x->bytes, name);
}

/* Printing. */

static bool
is_plain(struct ss_span name)
{
    return name.len && name_end(name.ptr, name.ptr + name.len) == name.ptr + name.len;
}

static void
print_quoted(FILE *out, struct ss_span text)
{
    putc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n')
            fputs("\\n", out);
        else
            fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    putc('"', out);
}

static void
print_name(FILE *out, struct ss_span name)
{
    if (is_plain(name))
        fwrite(name.ptr, 1, name.len, out);
    else
        print_quoted(out, name);
}

static void
print_series(FILE *out, struct ss_span left)
{
    struct ss_span name = next_text(&left);
    const char *separator = "{";
    if (is_plain(name)) {
        print_name(out, name);
    } else {
        putc('{', out);
        print_quoted(out, name);
        separator = ",";
    }
    bool braces = !is_plain(name) || left.len;
    for (; left.len; separator = ",") {
        struct ss_span label = next_text(&left), value = next_text(&left);
        fputs(separator, out);
        print_name(out, label);
        putc('=', out);
        print_quoted(out, value);
    }
    if (braces)
        putc('}', out);
}

void
identity_print(FILE *out, struct ss_span bytes)
{
    struct ss_span left = {bytes.ptr + 1, bytes.len - 1};
    char kind = *bytes.ptr;
    if (kind == SERIES) {
        print_series(out, left);
        return;
    }
    fprintf(out, "%s of ", kind == 'H' ? "HELP" : kind == 'T' ? "TYPE" : kind == 'U' ? "UNIT" : "metadata");
    print_name(out, next_text(&left));
}

void
identity_deinit(struct identity *x)
{
    buffer_deinit(&x->bytes);
    buffer_deinit(&x->values);
    free(x->labels);
}
