/* SPDX-License-Identifier: Apache-2.0 */
/* A body, read into series and metadata. */
#include "cmd.h"
#include "identity.h"
#include "source.h"
#include "verify.h"

#include "core/protobuf/label_pairs.h"
#include "core/text/line_splitter.h"
#include "core/text/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A body in hand. */
struct reader {
    struct observations *evidence;
    enum role role;
    uint32_t shard;
    bool openmetrics;
    struct identity identity;
    const char *wrong; /* why it cannot be read, or NULL */
};

/* Items. */

static void
place_add(struct occurrences *p, uint32_t shard)
{
    if (p->last != shard + 1) {
        p->last = shard + 1;
        p->here = 0;
        if (!p->shards++)
            p->first = shard;
        else if (p->shards == 2)
            p->second = shard;
    }
    if (++p->here > p->most)
        p->most = p->here;
}

/* The item of what the identity is; a new one is empty. NULL: there is no memory. */
static struct item *
item_of(struct observations *e, const struct identity *identity, bool *newp)
{
    uint32_t number, before = e->names.n;
    if (name_table_add(&e->names, (struct ss_span){identity->bytes.ptr, identity->bytes.len}, &number))
        return NULL;
    if (number >= e->capacity) {
        struct item *items = realloc(e->items, e->names.capacity * sizeof(*items));
        if (!items)
            return NULL;
        memset(items + e->capacity, 0, (e->names.capacity - e->capacity) * sizeof(*items));
        e->items = items;
        e->capacity = e->names.capacity;
    }
    *newp = e->names.n != before;
    return &e->items[number];
}

/* Notes that it was seen. */
static void
see(const struct reader *r, struct item *item)
{
    switch (r->role) {
    case ROLE_BEFORE:
        item->before++;
        break;
    case ROLE_AFTER:
        item->after++;
        break;
    case ROLE_SHARD:
        place_add(&item->found, r->shard);
        break;
    case ROLE_EXPECTED:
        place_add(&item->expected, r->shard);
        break;
    }
}

/* Takes the series that the identity has become, of a name. */
static int
take_series(struct reader *r, struct ss_span name)
{
    struct observations *e = r->evidence;
    bool new;
    struct item *item = item_of(e, &r->identity, &new);
    if (!item)
        return -ENOMEM;
    see(r, item);
    e->series[r->role]++;
    if (!new)
        return 0;
    int error = name_table_add(&e->keys, ss_key_family(name), &item->key);
    struct ss_span declared = e->is_protobuf ? name : families_declared(&e->families, name, r->openmetrics);
    return error ? error : families_add(&e->families, declared, &item->family);
}

/* Takes metadata of a kind for a name; type is that of TYPE, or empty. */
static int
take_meta(struct reader *r, char kind, struct ss_span name, struct ss_span type)
{
    struct observations *e = r->evidence;
    bool new;
    int error = identity_of_meta(&r->identity, kind, name);
    struct item *item = error ? NULL : item_of(e, &r->identity, &new);
    if (!item)
        return -ENOMEM;
    see(r, item);
    if (new) {
        item->is_meta = true;
        item->shards = arena_alloc(&e->arena, (e->count + 7) / 8);
        if (!item->shards || families_add(&e->families, name, &item->family))
            return -ENOMEM;
        memset(item->shards, 0, (e->count + 7) / 8);
    }
    if (type.len)
        e->families.items[item->family].types |= families_type(type);
    if (r->role == ROLE_SHARD)
        item->shards[r->shard / 8] |= (unsigned char)(1 << r->shard % 8);
    return 0;
}

/* Text. */

static int
read_sample(struct reader *r, struct ss_span line)
{
    struct sample sample;
    r->wrong = sample_read(line, r->openmetrics, &sample);
    if (r->wrong)
        return EINVAL;
    struct ss_span name = identity_unescape_part(&r->identity, &sample.name);
    if (sample.labels) {
        struct labels labels = labels_in_text(line.ptr + sample.labels, line.ptr + line.len);
        struct label label;
        while (labels_next(&labels, &label))
            if (identity_add(&r->identity, &label))
                return -ENOMEM;
        if (labels.broken) {
            r->wrong = "its labels cannot be read";
            return EINVAL;
        }
    }
    int error = identity_end(&r->identity, name);
    return error ? error : take_series(r, name);
}

static int
read_comment(struct reader *r, struct ss_span line)
{
    struct comment comment;
    r->wrong = comment_read(line, r->openmetrics, &comment);
    if (r->wrong)
        return EINVAL;
    if (comment.kind != COMMENT_META)
        return 0;
    /* Behind # and blanks stands HELP, TYPE or UNIT. */
    const char *keyword = line.ptr + strspn(line.ptr, " \t#");
    return take_meta(r, *keyword, identity_unescape_part(&r->identity, &comment.name), comment.type);
}

static int
read_line(struct reader *r, struct ss_span line)
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

/* Reads lines; *linep is the one that failed. */
static int
read_text(struct reader *r, struct ss_span left, uint64_t *linep)
{
    int error = 0;
    for (*linep = 0; left.len && !error;) {
        struct line_splitter splitter = {.openmetrics = r->openmetrics};
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
read_metric(struct reader *r, struct ss_span name, struct ss_span metric)
{
    struct label_pairs pairs = {wire_of(metric)};
    struct label label;
    int error = identity_begin(&r->identity, metric.len);
    while (!error && label_pairs_next(&pairs, &label))
        error = identity_add(&r->identity, &label);
    if (!error && pairs.fields.broken) {
        r->wrong = "the labels of a metric cannot be read";
        return EINVAL;
    }
    if (!error)
        error = identity_end(&r->identity, name);
    return error ? error : take_series(r, name);
}

static int
read_family(struct reader *r, struct ss_span message)
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
read_protobuf(struct reader *r, struct ss_span body, uint64_t *messagep)
{
    struct wire wire = wire_of(body);
    int error = 0;
    for (*messagep = 0; wire.p < wire.end && !error && !wire.broken;) {
        uint64_t size = wire_varint(&wire);
        ++*messagep;
        if (wire.broken || size > (size_t)(wire.end - wire.p))
            break; /* the index would not have taken it */
        error = read_family(r, (struct ss_span){wire.p, (size_t)size});
        wire.p += size;
    }
    return error;
}

int
observations_read(struct observations *e, struct ss_span body, const char *format, enum role role, uint32_t shard,
                  char *why)
{
    struct reader r = {.evidence = e, .role = role, .shard = shard, .openmetrics = !strcmp(format, "openmetrics")};
    uint64_t at;

    e->is_protobuf = !strcmp(format, "protobuf");
    int error = e->is_protobuf ? read_protobuf(&r, body, &at) : read_text(&r, body, &at);
    if (error > 0)
        snprintf(why, SOURCE_REASON, "%s %" PRIu64 ": %s", e->is_protobuf ? "family" : "line", at, r.wrong);
    else if (error)
        snprintf(why, SOURCE_REASON, "%s", strerror(-error));
    identity_deinit(&r.identity);
    return error ? EXIT_FAILED : 0;
}

void
evidence_begin_round(struct observations *e)
{
    memset(e->series, 0, sizeof(e->series));
    for (struct item *i = e->items + 1; i <= e->items + e->names.n; i++) {
        i->before = i->after = 0;
        i->found = i->expected = (struct occurrences){.shards = 0};
        i->wrong = 0;
        if (i->is_meta)
            memset(i->shards, 0, (e->count + 7) / 8);
    }
}

void
observations_deinit(struct observations *e)
{
    name_table_deinit(&e->names);
    name_table_deinit(&e->keys);
    families_deinit(&e->families);
    arena_deinit(&e->arena);
    free(e->items);
}
