/* SPDX-License-Identifier: Apache-2.0 */
/* Parses a body into series and metadata. */
#include "cmd.h"
#include "identity.h"
#include "source.h"
#include "verify.h"

#include "core/parse/format.h"
#include "core/protobuf/label_pairs.h"
#include "core/text/line_splitter.h"
#include "core/text/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct body_reader {
    struct observations *observations;
    enum role role;
    uint32_t shard;
    enum text_syntax syntax;
    struct identity identity;
    const char *error; /* or NULL */
};

/* Items. */

static void
occurrences_add(struct occurrences *o, uint32_t shard)
{
    if (o->last != shard + 1) {
        o->last = shard + 1;
        o->here = 0;
        if (!o->shards++)
            o->first = shard;
        else if (o->shards == 2)
            o->second = shard;
    }
    if (++o->here > o->max)
        o->max = o->here;
}

/* Finds the item of an identity, or adds an empty one. NULL: out of memory. */
static struct item *
item_of(struct observations *o, const struct identity *identity, bool *newp)
{
    uint32_t number, before = o->names.n;
    if (name_table_add(&o->names, (struct ss_span){identity->bytes.ptr, identity->bytes.len}, &number))
        return NULL;
    if (number >= o->capacity) {
        struct item *items = realloc(o->items, o->names.capacity * sizeof(*items));
        if (!items)
            return NULL;
        memset(items + o->capacity, 0, (o->names.capacity - o->capacity) * sizeof(*items));
        o->items = items;
        o->capacity = o->names.capacity;
    }
    *newp = o->names.n != before;
    return &o->items[number];
}

static void
count(const struct body_reader *r, struct item *item)
{
    switch (r->role) {
    case ROLE_BEFORE:
        item->before++;
        break;
    case ROLE_AFTER:
        item->after++;
        break;
    case ROLE_SHARD:
        occurrences_add(&item->found, r->shard);
        break;
    case ROLE_EXPECTED:
        occurrences_add(&item->expected, r->shard);
        break;
    }
}

/* Adds the series of the identity; name is its name. */
static int
take_series(struct body_reader *r, struct ss_span name)
{
    struct observations *o = r->observations;
    bool new;
    struct item *item = item_of(o, &r->identity, &new);
    if (!item)
        return -ENOMEM;
    count(r, item);
    o->series[r->role]++;
    if (!new)
        return 0;
    int error = name_table_add(&o->keys, ss_key_family(name), &item->key);
    struct ss_span declared = o->is_protobuf ? name : families_declared(&o->families, name, r->syntax);
    return error ? error : families_add(&o->families, declared, &item->family);
}

/* Adds metadata of a kind for a name; type is the value of TYPE, or empty. */
static int
take_meta(struct body_reader *r, char kind, struct ss_span name, struct ss_span type)
{
    struct observations *o = r->observations;
    bool new;
    int error = identity_of_meta(&r->identity, kind, name);
    struct item *item = error ? NULL : item_of(o, &r->identity, &new);
    if (!item)
        return -ENOMEM;
    count(r, item);
    if (new) {
        item->is_meta = true;
        item->shards = arena_alloc(&o->arena, (o->count + 7) / 8);
        if (!item->shards || families_add(&o->families, name, &item->family))
            return -ENOMEM;
        memset(item->shards, 0, (o->count + 7) / 8);
    }
    if (type.len)
        o->families.items[item->family].types |= families_type(type);
    if (r->role == ROLE_SHARD)
        item->shards[r->shard / 8] |= (unsigned char)(1 << r->shard % 8);
    return 0;
}

/* Text. */

static int
read_sample(struct body_reader *r, struct ss_span line)
{
    struct sample sample;
    r->error = sample_read(line, r->syntax, &sample);
    if (r->error)
        return EINVAL;
    struct ss_span name = identity_unescape(&r->identity, &sample.name);
    if (sample.labels) {
        struct labels labels = labels_in_text(line.ptr + sample.labels, line.ptr + line.len);
        struct label label;
        while (labels_next(&labels, &label))
            if (identity_add(&r->identity, &label))
                return -ENOMEM;
        if (labels.broken) {
            r->error = "invalid labels";
            return EINVAL;
        }
    }
    int error = identity_end(&r->identity, name);
    return error ? error : take_series(r, name);
}

static int
read_comment(struct body_reader *r, struct ss_span line)
{
    struct comment comment;
    r->error = comment_read(line, r->syntax, &comment);
    if (r->error)
        return EINVAL;
    if (comment.kind != COMMENT_META)
        return 0;
    /* HELP, TYPE or UNIT follows # and blanks. */
    const char *keyword = line.ptr + strspn(line.ptr, " \t#");
    return take_meta(r, *keyword, identity_unescape(&r->identity, &comment.name), comment.type);
}

static int
read_line(struct body_reader *r, struct ss_span line)
{
    size_t blanks = 0;
    while (blanks < line.len && (line.ptr[blanks] == ' ' || line.ptr[blanks] == '\t'))
        blanks++;
    if (blanks == line.len || line.ptr[blanks] == '\n')
        return 0;
    if (identity_begin(&r->identity, line.len))
        return -ENOMEM;
    return line.ptr[blanks] == '#' ? read_comment(r, line) : read_sample(r, line);
}

/* *linep: the line that failed. */
static int
read_text(struct body_reader *r, struct ss_span left, uint64_t *linep)
{
    int error = 0;
    for (*linep = 0; left.len && !error;) {
        struct line_splitter splitter = {.openmetrics = syntax_is_openmetrics(r->syntax)};
        size_t n = line_splitter_feed(&splitter, left);
        struct ss_span line = {left.ptr, n ? n : left.len};
        ++*linep;
        error = read_line(r, line);
        left.ptr += line.len;
        left.len -= line.len;
    }
    return error;
}

/* Protobuf: io.prometheus.client.MetricFamily of prometheus/client_model. */

enum { FIELD_NAME = 1, FIELD_METRIC = 4 };

static int
read_metric(struct body_reader *r, struct ss_span name, struct ss_span metric)
{
    struct label_pairs pairs = {wire_of(metric)};
    struct label label;
    int error = identity_begin(&r->identity, metric.len);
    while (!error && label_pairs_next(&pairs, &label))
        error = identity_add(&r->identity, &label);
    if (!error && pairs.fields.broken) {
        r->error = "invalid labels of a metric";
        return EINVAL;
    }
    if (!error)
        error = identity_end(&r->identity, name);
    return error ? error : take_series(r, name);
}

static int
read_family(struct body_reader *r, struct ss_span message)
{
    struct wire names = wire_of(message), metrics = wire_of(message);
    struct ss_span name = {"", 0};
    struct wire_field field;
    int error = 0;

    while (wire_next(&names, &field))
        if (field.number == FIELD_NAME)
            name = field.value;
    if (name.len)
        error = take_meta(r, 'F', name, (struct ss_span){"", 0});
    while (!error && wire_next(&metrics, &field))
        if (field.number == FIELD_METRIC)
            error = read_metric(r, name, field.value);
    return error;
}

static int
read_protobuf(struct body_reader *r, struct ss_span body, uint64_t *messagep)
{
    struct wire wire = wire_of(body);
    int error = 0;
    for (*messagep = 0; wire.p < wire.end && !error && !wire.broken;) {
        uint64_t size = wire_varint(&wire);
        ++*messagep;
        if (wire.broken || size > (size_t)(wire.end - wire.p))
            break; /* cannot be: the index has accepted the body */
        error = read_family(r, (struct ss_span){wire.p, (size_t)size});
        wire.p += size;
    }
    return error;
}

int
observations_read(struct observations *o, struct ss_span body, const char *format, enum role role, uint32_t shard,
                  char *why)
{
    const struct format *f = format_named(format);
    struct body_reader r = {.observations = o, .role = role, .shard = shard, .syntax = f->syntax};
    uint64_t at;

    o->is_protobuf = f->kind == FORMAT_PROTOBUF;
    int error = o->is_protobuf ? read_protobuf(&r, body, &at) : read_text(&r, body, &at);
    if (error > 0)
        snprintf(why, SOURCE_REASON, "%s %" PRIu64 ": %s", o->is_protobuf ? "family" : "line", at, r.error);
    else if (error)
        snprintf(why, SOURCE_REASON, "%s", strerror(-error));
    identity_deinit(&r.identity);
    return error ? EXIT_FAILED : 0;
}

void
observations_begin_round(struct observations *o)
{
    memset(o->series, 0, sizeof(o->series));
    for (struct item *i = o->items + 1; i <= o->items + o->names.n; i++) {
        i->before = i->after = 0;
        i->found = i->expected = (struct occurrences){.shards = 0};
        i->wrong = 0;
        if (i->is_meta)
            memset(i->shards, 0, (o->count + 7) / 8);
    }
}

void
observations_forget_expected(struct observations *o)
{
    for (struct item *i = o->items + 1; i <= o->items + o->names.n; i++)
        i->expected = (struct occurrences){.shards = 0};
}

void
observations_deinit(struct observations *o)
{
    name_table_deinit(&o->names);
    name_table_deinit(&o->keys);
    families_deinit(&o->families);
    arena_deinit(&o->arena);
    free(o->items);
}
