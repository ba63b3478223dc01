/* SPDX-License-Identifier: Apache-2.0 */
/* Which families to split: the largest lumps, tried. */
#include "cmd.h"
#include "plan.h"
#include "source.h"
#include "terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As many of the largest families are split as one of these says, one after the other: what does not help by the last
   is not helped by splitting. */
static const size_t steps[] = {1, 2, 3, 5, 8, 13, 21, 34, CURE_MOST};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* To split more families is worth it only if the skew without that is more than so many times as large. */
#define WORTH_IT 1.05

/* Lines of a configuration file have an end; a pattern goes on in the next one from here. */
enum { PATTERN_LONG = 120 };

/* The families with the most series under one hash, which nothing but splitting takes apart. */
static size_t
find_lumps(const struct fall *f, struct share *out)
{
    size_t found = 0;
    for (size_t i = 0; i < f->n;) {
        struct share lump = {f->parts[i].family, 1, 0};
        for (; i < f->n && f->parts[i].family.ptr == lump.family.ptr; i++)
            if (lump.family.len && f->parts[i].fate == SS_INDEX_HASHED && f->parts[i].series > lump.series)
                lump.series = f->parts[i].series;
        size_t at = found;
        while (at && out[at - 1].series < lump.series)
            at--;
        if (lump.series < 2 || at == CURE_MOST)
            continue;
        found += found < CURE_MOST;
        memmove(out + at + 1, out + at, (found - 1 - at) * sizeof(*out));
        out[at] = lump;
    }
    return found;
}

/* Writes a pattern that matches this name alone, and that a line of a file can hold. */
static void
write_pattern(FILE *out, struct ss_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool is_word =
            (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == ':' || c > 0x7f;
        fprintf(out, is_word ? "%c" : c <= ' ' || c == 0x7f ? "\\x%02x" : "\\%c", c);
    }
}

/* The patterns of n families. 0 or -ENOMEM. */
static int
write_patterns(struct cure *c, const struct share *lumps, size_t n)
{
    for (size_t i = 0; i < n;) {
        char **pattern = &c->patterns[c->n];
        size_t len = 0;
        FILE *out = open_memstream(pattern, &len);
        if (!out)
            return -ENOMEM;
        c->n++;
        do {
            if (len)
                putc('|', out);
            write_pattern(out, lumps[i++].family);
            fflush(out);
        } while (i < n && len + lumps[i].family.len < PATTERN_LONG);
        if (fclose(out) || !*pattern)
            return -ENOMEM;
    }
    c->families = n;
    return 0;
}

/* A content type by which a body is read as it was before. */
static const char *
content_type_of(const struct ss_index *index)
{
    const char *format = ss_index_format(index);
    return !strcmp(format, "openmetrics") ? "application/openmetrics-text"
           : !strcmp(format, "protobuf")  ? "application/vnd.google.protobuf"
                                          : "text/plain";
}

/* Reads the body again under a configuration with the rules, and sees what comes of it. */
static int
measure(struct cure *c, const struct fall *f, const struct config *config, uint32_t count)
{
    struct ss_filter_settings settings = plan_settings(config, content_type_of(f->index));
    char why[SOURCE_REASON] = "there is no memory";
    struct ss_index *index = NULL;
    struct fall fall = {.parts = NULL};
    struct load *loads = calloc(count, sizeof(*loads));

    int status = loads ? source_read_bytes(&index, ss_index_body(f->index), &settings, why) : EXIT_FAILED;
    if (!status && (fall_init(&fall, index, config) || fall_loads_exactly(&fall, count, loads)))
        status = EXIT_FAILED;
    if (status)
        fprintf(stderr, "scrapeshard: a split rule could not be tried: %s\n", why);
    else
        c->balance = balance_of(loads, count);
    fall_deinit(&fall);
    ss_index_free(index);
    free(loads);
    return status;
}

/* Tries to split the n largest. */
static int
try(struct cure *c, struct tool *tool, const struct fall *f, const struct share *lumps, size_t n)
{
    struct config *config = NULL;
    int status = EXIT_FAILED;

    *c = (struct cure){.needed = true};
    if (write_patterns(c, lumps, n))
        fputs("scrapeshard: there is no memory to try a rule\n", stderr);
    else
        status = tool_read_split(tool, c->patterns, c->n, &config);
    if (!status)
        status = measure(c, f, config, tool->count);
    config_unref(config);
    return status;
}

int
cure_find(struct cure *c, struct tool *tool, const struct fall *f, const struct balance *before)
{
    struct progress progress = progress_begin("split rules tried");
    struct share lumps[CURE_MOST + 1];
    struct cure tried;
    int status = 0;

    *c = (struct cure){.needed = before->by_series > SKEW_FINE, .balance = *before};
    size_t most = c->needed ? find_lumps(f, lumps) : 0, n = 0;
    for (size_t i = 0; i < STEPS && n < most && !status && c->balance.by_series > SKEW_FINE; i++) {
        n = steps[i] < most ? steps[i] : most;
        status = try(&tried, tool, f, lumps, n);
        if (status || tried.balance.by_series * WORTH_IT >= c->balance.by_series) {
            cure_deinit(&tried);
        } else {
            cure_deinit(c);
            *c = tried;
        }
        progress_tell(&progress, i + 1, STEPS);
    }
    progress_end(&progress);
    return status;
}

void
cure_deinit(struct cure *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->patterns[i]);
    c->n = 0;
}
