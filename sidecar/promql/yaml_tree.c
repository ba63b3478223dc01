/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml_tree.h"

#include "limits.h"

#include "core/base/arena.h"
#include "core/base/buffer.h"
#include "core/base/name_table.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct yaml_file {
    yaml_parser_t parser;
    struct ss_span bytes;
    struct arena arena;
    struct name_table anchors;        /* of the document */
    const struct yaml_value **values; /* by anchor */
    size_t n_values;
    uint64_t nodes; /* read so far, of all documents */
};

int
yaml_file_new(struct yaml_file **filep, struct ss_span bytes)
{
    struct yaml_file *f = calloc(1, sizeof(*f));
    if (!f || !yaml_parser_initialize(&f->parser)) {
        free(f);
        return -ENOMEM;
    }
    f->bytes = bytes;
    yaml_parser_set_encoding(&f->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&f->parser, (const unsigned char *)(bytes.len ? bytes.ptr : ""), bytes.len);
    *filep = f;
    return 0;
}

void
yaml_file_free(struct yaml_file *f)
{
    if (!f)
        return;
    yaml_parser_delete(&f->parser);
    name_table_deinit(&f->anchors);
    free(f->values);
    arena_deinit(&f->arena);
    free(f);
}

/* Errors. */

static int
refuse(struct promql_error *error, yaml_mark_t mark, const char *reason)
{
    *error = (struct promql_error){.line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1};
    error->begins = error->line;
    snprintf(error->reason, sizeof(error->reason), "%s", reason);
    return EINVAL;
}

/* The position of an invalid byte, of which libyaml reports only the offset. */
static yaml_mark_t
mark_at(struct ss_span bytes, size_t offset)
{
    yaml_mark_t mark = {.index = 0};
    for (size_t i = 0; i < offset && i < bytes.len; i++) {
        mark.column += ((unsigned char)bytes.ptr[i] & 0xc0) != 0x80;
        if (bytes.ptr[i] != '\n')
            continue;
        mark.line++;
        mark.column = 0;
    }
    return mark;
}

static int
refuse_yaml(const struct yaml_file *f, struct promql_error *error)
{
    const yaml_parser_t *p = &f->parser;
    char reason[200];

    if (p->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    snprintf(reason, sizeof(reason), "invalid YAML: %s%s%s", p->context ? p->context : "", p->context ? ": " : "",
             p->problem ? p->problem : "unknown error");
    refuse(error, p->error == YAML_READER_ERROR ? mark_at(f->bytes, p->problem_offset) : p->problem_mark, reason);
    error->begins = p->context ? (uint32_t)p->context_mark.line + 1 : 0;
    return EINVAL;
}

/* Values. */

static int
new_value(struct yaml_file *f, enum yaml_kind kind, yaml_mark_t mark, struct yaml_value **valuep,
          struct promql_error *error)
{
    char reason[80];
    if (++f->nodes > LIMIT_YAML_NODES) {
        snprintf(reason, sizeof(reason), "the file has more than %d values", LIMIT_YAML_NODES);
        return refuse(error, mark, reason);
    }
    struct yaml_value *v = arena_alloc(&f->arena, sizeof(*v));
    if (!v)
        return -ENOMEM;
    *v = (struct yaml_value){
        .kind = kind, .line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1, .weight = 1};
    *valuep = v;
    return 0;
}

static int
add_item(struct yaml_file *f, struct yaml_value *parent, const struct yaml_value *item)
{
    if (parent->n == parent->capacity) {
        size_t room = parent->capacity ? 2 * parent->capacity : 4;
        const struct yaml_value **items = arena_alloc(&f->arena, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        if (parent->n)
            memcpy(items, parent->items, parent->n * sizeof(*items));
        parent->items = items;
        parent->capacity = room;
    }
    parent->items[parent->n++] = item;
    parent->weight += item->weight;
    return 0;
}

static struct ss_span
span_of(const unsigned char *text)
{
    return (struct ss_span){(const char *)text, strlen((const char *)text)};
}

static int
keep_anchor(struct yaml_file *f, const unsigned char *anchor, const struct yaml_value *value)
{
    uint32_t number;
    if (!anchor)
        return 0;
    if (name_table_add(&f->anchors, span_of(anchor), &number))
        return -ENOMEM;
    if (number >= f->n_values) {
        size_t n = 2 * (size_t)number + 8;
        const struct yaml_value **values = realloc(f->values, n * sizeof(*values));
        if (!values)
            return -ENOMEM;
        f->values = values;
        f->n_values = n;
    }
    f->values[number] = value;
    return 0;
}

/* Converts an event: *valuep is the value, or NULL at the end of a sequence or mapping. */
static int
take_event(struct yaml_file *f, const yaml_event_t *event, struct yaml_value **valuep, struct promql_error *error)
{
    const unsigned char *anchor = NULL;
    struct yaml_value *v = NULL;
    int r = 0;

    *valuep = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        r = new_value(f, YAML_SCALAR, event->start_mark, &v, error);
        if (r)
            return r;
        v->text =
            arena_copy(&f->arena, (struct ss_span){(const char *)event->data.scalar.value, event->data.scalar.length});
        yaml_scalar_style_t style = event->data.scalar.style;
        v->style = style == YAML_SINGLE_QUOTED_SCALAR_STYLE   ? YAML_QUOTED
                   : style == YAML_DOUBLE_QUOTED_SCALAR_STYLE ? YAML_DOUBLE_QUOTED
                   : style == YAML_PLAIN_SCALAR_STYLE         ? YAML_PLAIN
                                                              : YAML_BLOCK;
        r = v->text.ptr ? 0 : -ENOMEM;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        r = new_value(f, YAML_SEQUENCE, event->start_mark, &v, error);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        r = new_value(f, YAML_MAPPING, event->start_mark, &v, error);
    }
    *valuep = v;
    return r ? r : keep_anchor(f, anchor, v);
}

/* Documents. */

/* The open sequences and mappings, innermost last. */
struct stack {
    struct yaml_value *open[LIMIT_YAML_DEPTH];
    size_t n;
};

static int
find_alias(struct yaml_file *f, const struct stack *stack, const yaml_event_t *event, const struct yaml_value **valuep,
           struct promql_error *error)
{
    uint32_t number = name_table_find(&f->anchors, span_of(event->data.alias.anchor));
    if (!number)
        return refuse(error, event->start_mark, "unknown alias; expected an anchor of this name before it");
    *valuep = f->values[number];
    for (size_t i = 0; i < stack->n; i++)
        if (stack->open[i] == *valuep)
            return refuse(error, event->start_mark, "the alias is inside the value that it refers to");
    return 0;
}

/* Adds a value to the innermost open one. */
static int
place(struct yaml_file *f, struct stack *stack, const struct yaml_value *value, yaml_mark_t mark,
      const struct yaml_value **rootp, struct promql_error *error)
{
    char reason[100];
    if (!stack->n) {
        *rootp = value;
        return 0;
    }
    struct yaml_value *parent = stack->open[stack->n - 1];
    int r = add_item(f, parent, value);
    if (r || parent->weight <= LIMIT_YAML_NODES)
        return r;
    snprintf(reason, sizeof(reason), "the document has more than %d values after alias expansion", LIMIT_YAML_NODES);
    return refuse(error, mark, reason);
}

static int
open_or_place(struct yaml_file *f, struct stack *stack, struct yaml_value *v, yaml_mark_t mark,
              const struct yaml_value **rootp, struct promql_error *error)
{
    char reason[80];
    if (v->kind == YAML_SCALAR)
        return place(f, stack, v, mark, rootp, error);
    if (stack->n == LIMIT_YAML_DEPTH) {
        snprintf(reason, sizeof(reason), "the document nests deeper than %d levels", LIMIT_YAML_DEPTH);
        return refuse(error, mark, reason);
    }
    stack->open[stack->n++] = v;
    return 0;
}

/* Handles one event of a document; *donep is set after its last. */
static int
read_event(struct yaml_file *f, struct stack *stack, const yaml_event_t *event, const struct yaml_value **rootp,
           bool *donep, struct promql_error *error)
{
    const struct yaml_value *value = NULL;
    struct yaml_value *v;
    int r;

    switch (event->type) {
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        *donep = true;
        return 0;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        assert(stack->n); /* libyaml ends only what it began */
        return place(f, stack, stack->open[--stack->n], event->start_mark, rootp, error);
    case YAML_ALIAS_EVENT:
        r = find_alias(f, stack, event, &value, error);
        return r ? r : place(f, stack, value, event->start_mark, rootp, error);
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        r = take_event(f, event, &v, error);
        return r ? r : open_or_place(f, stack, v, event->start_mark, rootp, error);
    default:
        return 0;
    }
}

int
yaml_file_next(struct yaml_file *f, const struct yaml_value **rootp, struct promql_error *error)
{
    struct stack stack = {.n = 0};
    bool done = false;
    int r = 0;

    *rootp = NULL;
    name_table_deinit(&f->anchors);
    while (!done && !r) {
        yaml_event_t event;
        if (!yaml_parser_parse(&f->parser, &event))
            return refuse_yaml(f, error);
        r = read_event(f, &stack, &event, rootp, &done, error);
        yaml_event_delete(&event);
    }
    return r;
}

/* Mappings. */

bool
yaml_is_null(const struct yaml_value *v)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; v->kind == YAML_SCALAR && v->style == YAML_PLAIN && i < sizeof(words) / sizeof(words[0]); i++)
        if (spans_equal(v->text, (struct ss_span){words[i], strlen(words[i])}))
            return true;
    return false;
}

/* The index of a key, from the given one on; n: none. */
static size_t
find_key(const struct yaml_value *m, const char *key, size_t from)
{
    struct ss_span name = {key, strlen(key)};
    size_t i = from;
    while (i < m->n && !(m->items[i]->kind == YAML_SCALAR && spans_equal(m->items[i]->text, name)))
        i += 2;
    return i;
}

static const struct yaml_value *find_merged(const struct yaml_value *mapping, const char *key, unsigned depth);

static const struct yaml_value *
find_in_merge(const struct yaml_value *merged, const char *key, unsigned depth)
{
    if (merged->kind == YAML_MAPPING)
        return find_merged(merged, key, depth);
    const struct yaml_value *found = NULL;
    for (size_t i = 0; merged->kind == YAML_SEQUENCE && i < merged->n && !found; i++)
        if (merged->items[i]->kind == YAML_MAPPING)
            found = find_merged(merged->items[i], key, depth);
    return found;
}

static const struct yaml_value *
find_merged(const struct yaml_value *m, const char *key, unsigned depth)
{
    size_t at = find_key(m, key, 0);
    if (at < m->n)
        return m->items[at + 1];
    at = find_key(m, "<<", 0);
    /* Merges of merges are rare, and each level may be a list. */
    return at < m->n && depth < 4 ? find_in_merge(m->items[at + 1], key, depth + 1) : NULL;
}

const struct yaml_value *
yaml_find(const struct yaml_value *mapping, const char *key)
{
    return find_merged(mapping, key, 0);
}

const struct yaml_value *
yaml_find_duplicate(const struct yaml_value *m, const char *key)
{
    size_t at = find_key(m, key, 0);
    if (at < m->n)
        at = find_key(m, key, at + 2);
    return at < m->n ? m->items[at] : NULL;
}
