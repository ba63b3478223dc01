/* SPDX-License-Identifier: Apache-2.0 */
/* The label cardinality of the largest families: how many values each of their labels has. */
#include "plan.h"

#include "core/base/buffer.h"
#include "core/protobuf/label_pairs.h"
#include "core/text/labels.h"
#include "core/text/line_splitter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Values are counted by their hashes, which take at most twice this many times 16 bytes. */
    VALUES_MAX = 100 * 1000,         /* per label */
    VALUES_OF_ALL_MAX = 1000 * 1000, /* of all labels together */
};

/* Bytes of the body that belong to one of the families. */
struct range {
    size_t start, end;
    struct labelled_family *family;
};

struct counter {
    struct plan_labels *labels;
    struct ss_hasher *hasher;
    struct buffer scratch; /* an unescaped name or value */
    struct range *ranges;
    size_t n_ranges, capacity;
    size_t offset; /* of the part that is visited */
    int error;
};

/* Values. */

/* The slot of a hash that is not 0, or the free one where it belongs. */
static uint64_t *
slot_of(const struct label_values *l, uint64_t hash)
{
    size_t at = hash & (l->capacity - 1);
    while (l->slots[at] && l->slots[at] != hash)
        at = (at + 1) & (l->capacity - 1);
    return &l->slots[at];
}

static int
grow(struct label_values *l)
{
    struct label_values larger = {.capacity = l->capacity ? 2 * l->capacity : 16};
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < l->capacity; i++)
        if (l->slots[i])
            *slot_of(&larger, l->slots[i]) = l->slots[i];
    free(l->slots);
    l->slots = larger.slots;
    l->capacity = larger.capacity;
    return 0;
}

static int
add_value(struct counter *c, struct label_values *l, struct ss_span value)
{
    uint64_t hash;
    int r = ss_hasher_hash(c->hasher, value, &hash);
    if (!r && 2 * (l->n + 1) > l->capacity)
        r = grow(l);
    if (r)
        return r;
    uint64_t *slot = slot_of(l, hash | !hash);
    if (*slot)
        return 0;
    if (l->n == VALUES_MAX || c->labels->values == VALUES_OF_ALL_MAX) {
        l->has_more = true;
        return 0;
    }
    *slot = hash | !hash;
    l->n++;
    c->labels->values++;
    return 0;
}

/* Labels. */

/* The label of a name, added if it is new. NULL: out of memory, or too many labels. */
static struct label_values *
label_of(struct counter *c, struct labelled_family *f, struct ss_span name)
{
    for (size_t i = 0; i < f->n_labels; i++)
        if (spans_equal(f->labels[i].name, name))
            return &f->labels[i];
    if (f->n_labels == LABELS_MAX) {
        f->has_more_labels = true;
        return NULL;
    }
    struct ss_span own = arena_copy(&c->labels->arena, name);
    if (!own.ptr) {
        c->error = -ENOMEM;
        return NULL;
    }
    f->labels[f->n_labels].name = own;
    return &f->labels[f->n_labels++];
}

/* Unescapes a name or value; borrowed until the next call. */
static struct ss_span
unescape(struct counter *c, const struct name *name)
{
    c->scratch.len = 0;
    if (name->escaped && buffer_reserve(&c->scratch, name->raw.len)) {
        c->error = -ENOMEM;
        return (struct ss_span){"", 0};
    }
    return name_unescape(name, c->scratch.ptr);
}

static void
count_label(struct counter *c, struct labelled_family *f, const struct label *label)
{
    if (!label->value.raw.len) /* as if it were not there */
        return;
    struct label_values *l = label_of(c, f, unescape(c, &label->name));
    if (!l || c->error)
        return;
    int r = add_value(c, l, unescape(c, &label->value));
    if (!c->error)
        c->error = r;
}

/* Text. */

/* Skips blanks, which are only in the text format where they do not separate. */
static const char *
skip_blanks(const char *p, const char *end, bool openmetrics)
{
    while (!openmetrics && p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

static void
count_line(struct counter *c, struct labelled_family *f, struct ss_span line, bool openmetrics)
{
    const char *end = line.ptr + line.len;
    const char *p = name_end(skip_blanks(line.ptr, end, openmetrics), end);
    struct label label;
    p = skip_blanks(p, end, openmetrics);
    if (p == end || *p != '{')
        return; /* a comment, or a sample without labels */
    struct labels labels = labels_in_text(p + 1, end);
    while (!c->error && labels_next(&labels, &label))
        count_label(c, f, &label);
}

static void
count_text(struct counter *c, struct ss_span body, bool openmetrics)
{
    for (struct range *r = c->ranges; r < c->ranges + c->n_ranges; r++) {
        struct ss_span left = {body.ptr + r->start, r->end - r->start};
        while (left.len && !c->error) {
            struct line_splitter splitter = {.openmetrics = openmetrics};
            size_t n = line_splitter_feed(&splitter, left);
            struct ss_span line = {left.ptr, n ? n : left.len};
            count_line(c, r->family, line, openmetrics);
            left.ptr += line.len;
            left.len -= line.len;
        }
    }
}

/* Protobuf: io.prometheus.client.MetricFamily of prometheus/client_model. */

enum { FIELD_METRIC = 4 };

static void
count_message(struct counter *c, struct labelled_family *f, struct ss_span message)
{
    struct wire wire = wire_of(message);
    struct wire_field field;
    struct label label;
    while (!c->error && wire_next(&wire, &field)) {
        struct label_pairs pairs = {wire_of(field.value)};
        while (field.number == FIELD_METRIC && !c->error && label_pairs_next(&pairs, &label))
            count_label(c, f, &label);
    }
}

static void
count_protobuf(struct counter *c, struct ss_span body)
{
    struct wire wire = wire_of(body);
    const struct range *r = c->ranges, *end = r + c->n_ranges;
    while (wire.p < wire.end && !c->error) {
        uint64_t size = wire_varint(&wire);
        if (wire.broken || size > (size_t)(wire.end - wire.p))
            return; /* cannot be: the index has accepted the body */
        size_t start = (size_t)(wire.p - body.ptr);
        while (r < end && r->end <= start)
            r++;
        if (r < end && r->start < start + size)
            count_message(c, r->family, (struct ss_span){wire.p, (size_t)size});
        wire.p += size;
    }
}

/* Where the families are in the body. */

static void
take_part(void *ctx, const struct ss_index_part *part)
{
    struct counter *c = ctx;
    struct plan_labels *l = c->labels;
    size_t start = c->offset, i = 0;
    c->offset += part->bytes;

    while (i < l->n && (!part->family.len || part->family.ptr != l->families[i].family.ptr))
        i++;
    if (i == l->n || c->error)
        return;
    struct range *last = c->n_ranges ? &c->ranges[c->n_ranges - 1] : NULL;
    if (last && last->end == start && last->family == &l->families[i]) {
        last->end = c->offset;
        return;
    }
    if (!c->ranges || c->n_ranges == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        struct range *ranges = realloc(c->ranges, capacity * sizeof(*ranges));
        if (!ranges) {
            c->error = -ENOMEM;
            return;
        }
        c->ranges = ranges;
        c->capacity = capacity;
    }
    c->ranges[c->n_ranges++] = (struct range){start, c->offset, &l->families[i]};
}

static int
compare_labels(const void *a, const void *b)
{
    const struct label_values *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return spans_order(x->name, y->name);
}

int
plan_labels_count(struct plan_labels *l, const struct plan_distribution *d)
{
    struct counter c = {.labels = l};
    struct ss_span body = ss_index_body(d->index);
    const char *format = ss_index_format(d->index);
    struct family_load largest[LABELLED_FAMILIES];

    l->n = plan_distribution_largest(d, 1, 0, largest, LABELLED_FAMILIES);
    for (size_t i = 0; i < l->n; i++) {
        l->families[i].family = largest[i].family;
        l->families[i].series = largest[i].series;
    }
    c.error = ss_hasher_new(&c.hasher, SS_HASH_XXH64);
    if (!c.error)
        ss_index_visit(d->index, take_part, &c);
    if (!c.error && !strcmp(format, "protobuf"))
        count_protobuf(&c, body);
    else if (!c.error)
        count_text(&c, body, strcmp(format, "text") != 0);
    for (size_t i = 0; i < l->n; i++)
        if (l->families[i].n_labels)
            qsort(l->families[i].labels, l->families[i].n_labels, sizeof(*l->families[i].labels), compare_labels);
    ss_hasher_free(c.hasher);
    buffer_deinit(&c.scratch);
    free(c.ranges);
    return c.error;
}

void
plan_labels_deinit(struct plan_labels *l)
{
    for (size_t i = 0; i < l->n; i++)
        for (size_t j = 0; j < l->families[i].n_labels; j++)
            free(l->families[i].labels[j].slots);
    arena_deinit(&l->arena);
}
