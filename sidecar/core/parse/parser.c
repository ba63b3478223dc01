/* SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <inttypes.h>
#include <stdio.h>

int
parser_init(struct parser *p, const struct ss_filter_settings *settings, bool whole_families)
{
    struct ss_filter_settings own = *settings;
    int r = 0;

    *p = (struct parser){.format = format_of(own.content_type), .max_series = own.max_series};
    if (!own.sharding) {
        struct ss_sharding_settings sharding = ss_sharding_settings_default();
        r = ss_sharding_new(&p->own_sharding, &sharding);
        own.sharding = p->own_sharding;
    }
    if (!r)
        r = key_resolver_init(&p->resolver, &own, p->format->syntax);
    if (!r)
        r = p->format->new (&p->state, p->format,
                            &(struct format_settings){own.max_line, &p->resolver, &p->error, whole_families, &p->held});
    return r;
}

static int
too_many_series(struct parser *p)
{
    struct ss_family_count largest = {.name = {"", 0}};
    families_largest(&p->resolver.families, &largest, 1);
    snprintf(p->error.reason, sizeof(p->error.reason),
             "%" PRIu64 " series, more than max_series (%" PRIu64 "); %" PRIu64 " of them in family %.*s", p->series,
             p->max_series, largest.series, largest.name.len < 80 ? (int)largest.name.len : 80, largest.name.ptr);
    return SS_TOO_MANY;
}

/* Ends a call: fills the error of a condition that the format did not report itself. */
static int
finish(struct parser *p, int r)
{
    if (r > 0 && !p->error.condition) {
        p->error.condition = (enum ss_filter_condition)r;
        p->error.offset = p->bytes;
    }
    return p->failed = r;
}

/* Fails a format in which the key does not work. */
static int
check_key(struct parser *p)
{
    if (!p->format->has_composites || ss_sharding_takes_protobuf(p->resolver.sharding))
        return 0;
    snprintf(p->error.reason, sizeof(p->error.reason),
             "a key that does not work in %s, where a histogram is a single metric", p->format->name);
    p->error.condition = SS_KEY_IMPOSSIBLE;
    return SS_KEY_IMPOSSIBLE;
}

int
parser_feed(struct parser *p, struct ss_span bytes, const struct records *out)
{
    if (p->failed || !bytes.len) /* an empty span may be NULL */
        return p->failed;
    int r = p->bytes ? 0 : check_key(p);
    p->bytes += bytes.len;
    return finish(p, r ? r : p->format->feed(p->state, bytes, out));
}

int
parser_end(struct parser *p, const struct records *out)
{
    if (p->failed)
        return p->failed;
    int r = p->format->end(p->state, out);
    if (!r && p->max_series && p->series > p->max_series)
        r = too_many_series(p);
    if (!r)
        key_cursor_end(&p->resolver.cursor, true);
    return finish(p, r);
}

void
parser_deinit(struct parser *p)
{
    if (p->state)
        p->format->free(p->state);
    key_resolver_deinit(&p->resolver);
    ss_sharding_free(p->own_sharding);
}
