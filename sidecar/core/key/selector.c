/* SPDX-License-Identifier: Apache-2.0 */
/* Which series a selector selects. */
#include "selector.h"

#include "core/base/buffer.h"

#include <stdlib.h>

enum value_state { VALUE_UNKNOWN, VALUE_MATCHES, VALUE_DIFFERS };

void
selector_deinit(struct rule_selector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        regex_free(s->matchers[i].code);
        free(s->matchers[i].cache);
    }
    *s = (struct rule_selector){NULL, 0};
}

void
selector_add_labels(const struct rule_selector *s, const struct name_table *labels, struct selector_values *v)
{
    for (size_t i = 0; i < s->n; i++) {
        uint32_t label = s->matchers[i].label;
        if (v->slots[label])
            continue;
        v->names[v->n++] = labels->items[label].name;
        v->slots[label] = (unsigned char)v->n;
    }
}

static inline uint64_t
load(const char *p, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, p, size);
    return word;
}

/* The first and the last bytes of a value, up to eight each. */
struct value_ends {
    uint64_t first, last;
};

static inline struct value_ends
ends_of(struct ss_span value)
{
    if (value.len >= 8)
        return (struct value_ends){load(value.ptr, 8), load(value.ptr + value.len - 8, 8)};
    if (value.len >= 4)
        return (struct value_ends){load(value.ptr, 4), load(value.ptr + value.len - 4, 4)};
    struct value_ends ends = {0, 0};
    for (size_t i = 0; i < value.len; i++)
        ends.first = ends.first << 8 | (unsigned char)value.ptr[i];
    return ends;
}

/* The place of a value in the cache. */
static inline size_t
slot_of(struct ss_span value, struct value_ends ends)
{
    uint64_t mixed = (ends.first + value.len) * UINT64_C(0x9e3779b97f4a7c15) ^ ends.last * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (size_t)((mixed * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % CORE_SELECTOR_VALUES;
}

static inline bool
is_known(const struct cached_value *known, struct ss_span value, struct value_ends ends)
{
    struct ss_span bytes = {known->bytes, known->len};
    if (known->state == VALUE_UNKNOWN || bytes.len != value.len)
        return false;
    struct value_ends own = ends_of(bytes);
    return own.first == ends.first && own.last == ends.last && (value.len <= 16 || spans_equal(bytes, value));
}

/* Whether a regular expression matches, which is remembered for short values. */
static int
matches_regex(const struct selector_matcher *m, struct ss_span value, const struct regex_state *state)
{
    if (value.len > CORE_SELECTOR_VALUE_BYTES)
        return regex_match(m->code, value, state);
    struct value_ends ends = ends_of(value);
    struct cached_value *known = &m->cache[slot_of(value, ends)];
    if (is_known(known, value, ends))
        return known->state == VALUE_MATCHES;
    int r = regex_match(m->code, value, state);
    if (r < 0)
        return r;
    known->state = r ? VALUE_MATCHES : VALUE_DIFFERS;
    known->len = (unsigned char)value.len;
    memcpy(known->bytes, value.ptr, value.len);
    return r;
}

/* Whether one matcher matches: 1, 0, or a negative error of PCRE2. */
static int
matches(const struct selector_matcher *m, const struct selector_values *v, const struct regex_state *state)
{
    struct ss_span value = v->values[v->slots[m->label] - 1];
    if (!value.ptr)
        value = (struct ss_span){"", 0};
    int r = m->code ? matches_regex(m, value, state) : spans_equal(value, m->value);
    return r < 0 ? r : (r != 0) != m->negated;
}

int
selector_matches(const struct rule_selector *s, const struct selector_values *v, const struct regex_state *state)
{
    int r = 1;
    for (size_t i = 0; i < s->n && r > 0; i++)
        r = matches(&s->matchers[i], v, state);
    return r;
}

bool
selector_may_match(const struct rule_selector *s, const struct selector_values *v, uint64_t known,
                   const struct regex_state *state, bool *allp)
{
    *allp = true;
    for (size_t i = 0; i < s->n; i++) {
        bool is_known = known >> (v->slots[s->matchers[i].label] - 1) & 1;
        int r = is_known ? matches(&s->matchers[i], v, state) : -1;
        if (!r)
            return false;
        *allp &= r > 0;
    }
    return true;
}
