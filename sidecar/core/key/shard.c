/* SPDX-License-Identifier: Apache-2.0 */
/* The set of shards that a scrape requests. */
#include <scrapeshard/shard.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct ss_shards {
    uint32_t count;
    uint32_t n, last; /* how many are in the set, and the last one added */
    uint64_t bits[];
};

__attribute__((format(printf, 2, 3))) static int
refuse(struct ss_shards_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->reason, sizeof(error->reason), format, args);
    va_end(args);
    return EINVAL;
}

/* Parses digits from *p; *valuep saturates at UINT32_MAX. Returns the number of digits. */
static size_t
read_number(const char **p, const char *end, uint32_t *valuep)
{
    const char *start = *p;
    uint64_t value = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        value = value * 10 + (uint64_t)(**p - '0');
        if (value > UINT32_MAX)
            value = UINT32_MAX;
    }
    *valuep = (uint32_t)value;
    return (size_t)(*p - start);
}

/* The part of a text that an error message quotes. */
struct shown {
    char text[44];
};

static struct shown
shown(struct ss_span text)
{
    struct shown s = {""};
    for (size_t i = 0; i < text.len && i < sizeof(s.text) - 1; i++)
        s.text[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? '?' : text.ptr[i];
    return s;
}

int
ss_shard_count_parse(uint32_t *countp, struct ss_span text, struct ss_shards_error *error)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    uint32_t count;

    if (!read_number(&p, end, &count) || p != end)
        return refuse(error, "\"%s\" is not a number, expected a number from 1 to %u", shown(text).text,
                      SS_SHARD_COUNT_MAX);
    if (count < 1 || count > SS_SHARD_COUNT_MAX)
        return refuse(error, "%s is out of range, expected a number from 1 to %u", shown(text).text,
                      SS_SHARD_COUNT_MAX);
    *countp = count;
    return 0;
}

/* An empty set; NULL: out of memory. */
static struct ss_shards *
shards_new(uint32_t count)
{
    struct ss_shards *shards = calloc(1, sizeof(*shards) + (count + 63) / 64 * sizeof(uint64_t));
    if (shards)
        shards->count = count;
    return shards;
}

static void
set_shard(struct ss_shards *shards, uint32_t shard)
{
    shards->bits[shard / 64] |= UINT64_C(1) << shard % 64;
    shards->n++;
    shards->last = shard;
}

/* Adds first..last to the set. */
static int
shards_add(struct ss_shards *shards, uint32_t first, uint32_t last, struct ss_shards_error *error)
{
    if (last >= shards->count)
        return refuse(error, "shard %u is out of range for %u shards, expected 0 to %u", last, shards->count,
                      shards->count - 1);
    if (first > last)
        return refuse(error, "invalid range %u-%u, expected %u-%u", first, last, last, first);
    for (uint32_t s = first; s <= last; s++) {
        if (ss_shards_has(shards, s))
            return refuse(error, "shard %u is listed twice, expected once", s);
        set_shard(shards, s);
    }
    return 0;
}

static int
shards_read(struct ss_shards *shards, struct ss_span text, struct ss_shards_error *error)
{
    const char *p = text.ptr, *end = text.ptr + text.len;

    for (;;) {
        uint32_t first, last;
        if (!read_number(&p, end, &first))
            break;
        last = first;
        if (p < end && *p == '-') {
            p++;
            if (!read_number(&p, end, &last))
                break;
        }
        int r = shards_add(shards, first, last, error);
        if (r)
            return r;
        if (p == end)
            return 0;
        if (*p++ != ',')
            break;
    }
    return refuse(error, "\"%s\" is not a valid set of shards, expected a number (3), a list (0,4,8) or a range (0-15)",
                  shown(text).text);
}

int
ss_shards_parse(struct ss_shards **outp, struct ss_span text, uint32_t count, struct ss_shards_error *error)
{
    struct ss_shards *shards = shards_new(count);
    if (!shards)
        return -ENOMEM;

    int r = shards_read(shards, text, error);
    if (r) {
        ss_shards_free(shards);
        return r;
    }
    *outp = shards;
    return 0;
}

uint32_t
ss_shards_count(const struct ss_shards *shards)
{
    return shards->count;
}

bool
ss_shards_has(const struct ss_shards *shards, uint32_t shard)
{
    return shards->bits[shard / 64] >> shard % 64 & 1;
}

bool
ss_shards_is_one(const struct ss_shards *shards, uint32_t *shardp)
{
    *shardp = shards->last;
    return shards->n == 1;
}

int
ss_shards_with_count(struct ss_shards **outp, const struct ss_shards *shards, uint32_t count)
{
    struct ss_shards *others = shards_new(count);
    if (!others)
        return -ENOMEM;
    for (uint32_t s = 0; s < count && s < shards->count; s++)
        if (ss_shards_has(shards, s))
            set_shard(others, s);
    *outp = others;
    return 0;
}

void
ss_shards_free(struct ss_shards *shards)
{
    free(shards);
}
