/* SPDX-License-Identifier: Apache-2.0 */
/* The family key. */
#include <scrapeshard/shard.h>

#include <string.h>

#define SUFFIX(text)                                                                                                   \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

/* OpenMetrics 1.0, "Suffixes", and the text format's own. */
static const struct ss_span family_suffixes[] = {
    SUFFIX("_bucket"),  SUFFIX("_sum"),  SUFFIX("_count"), SUFFIX("_total"),
    SUFFIX("_created"), SUFFIX("_info"), SUFFIX("_gsum"),  SUFFIX("_gcount"),
};

/* The last letters of the suffixes; most names end with none of them. */
static bool
may_have_suffix(struct ss_span name)
{
    switch (name.len ? name.ptr[name.len - 1] : 0) {
    case 't':
    case 'm':
    case 'l':
    case 'd':
    case 'o':
        return true;
    default:
        return false;
    }
}

static size_t
suffix_len(struct ss_span name)
{
    for (size_t i = 0; may_have_suffix(name) && i < sizeof(family_suffixes) / sizeof(family_suffixes[0]); i++) {
        struct ss_span s = family_suffixes[i];
        if (name.len > s.len && !memcmp(name.ptr + name.len - s.len, s.ptr, s.len))
            return s.len;
    }
    return 0;
}

struct ss_span
ss_key_family(struct ss_span name)
{
    for (size_t n; (n = suffix_len(name)) > 0;)
        name.len -= n;
    return name;
}
