/* SPDX-License-Identifier: Apache-2.0 */
/* Which series a selector selects. */
#include "selector.h"

#include "core/base/buffer.h"

#include <stdlib.h>
#include <xxhash.h>

enum value_state { VALUE_UNKNOWN, VALUE_MATCHES, VALUE_DIFFERS };

void
selector_deinit(struct selector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        regex_free(s->matchers[i].code);
        free(s->matchers[i].cache);
    }
    *s = (struct selector){NULL, 0};
}

void
selector_add_labels(const struct selector *s, const struct name_table *labels, struct selector_values *v)
{
    for (size_t i = 0; i < s->n; i++) {
        uint32_t label = s->matchers[i].label;
        if (v->slots[label])
            continue;
        v->names[v->n++] = labels->items[label].name;
        v->slots[label] = (unsigned char)v->n;
    }
}

/* Whether a regular expression matches, which is remembered for short values. */
static int
matches_regex(const struct selector_matcher *m, struct ss_span value, const struct regex_state *state)
{
    if (value.len > CORE_SELECTOR_VALUE_BYTES)
        return regex_match(m->code, value, state);
    struct cached_value *known = &m->cache[XXH64(value.ptr, value.len, 0) % CORE_SELECTOR_VALUES];
    if (known->state != VALUE_UNKNOWN && spans_equal(value, (struct ss_span){known->bytes, known->len}))
        return known->state == VALUE_MATCHES;
    int r = regex_match(m->code, value, state);
    if (r < 0)
        return r;
    known->state = r ? VALUE_MATCHES : VALUE_DIFFERS;
    known->len = (unsigned char)value.len;
    memcpy(known->bytes, value.ptr, value.len);
    return r;
}

int
selector_matches(const struct selector *s, const struct selector_values *v, const struct regex_state *state)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct selector_matcher *m = &s->matchers[i];
        struct ss_span value = v->values[v->slots[m->label] - 1];
        if (!value.ptr)
            value = (struct ss_span){"", 0};
        int r = m->code ? matches_regex(m, value, state) : spans_equal(value, m->value);
        if (r < 0 || (r != 0) == m->negated)
            return r < 0 ? r : 0;
    }
    return 1;
}
