/* SPDX-License-Identifier: Apache-2.0 */
/* The judgement, for a person and for a machine. */
#include "verify.h"

#include "identity.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Names of families that a person is told. */
enum { FAMILIES = 10 };

static const struct {
    const char *word, *sentence; /* the shards stand for %1$u and %2$u */
} mistakes[VIOLATION_KINDS] = {
    [VIOLATION_SHARD] = {"failed", "shard %1$u cannot be had"},
    [VIOLATION_LOST] = {"lost", "it is in the whole, and in no shard"},
    [VIOLATION_DOUBLED] = {"doubled", "it is in shard %1$u and in shard %2$u"},
    [VIOLATION_REPEATED] = {"repeated", "it is more often in shard %1$u than in the whole"},
    [VIOLATION_MISPLACED] = {"misplaced", "it is in shard %1$u; by the configuration, shard %2$u is right"},
    [VIOLATION_NOT_REPLICATED] = {"not_replicated",
                                  "it is in %1$u shards; by the configuration, it is to be in every one"},
    [VIOLATION_UNDROPPED] = {"undropped", "it is in shard %1$u; by the configuration, it is to be in none"},
    [VIOLATION_UNEXPECTED] = {"unexpected", "it is in shard %1$u, and not in the whole"},
    [VIOLATION_FAMILY_SPLIT] = {"family_split", "it is in shard %1$u, others of its family in shard %2$u"},
    [VIOLATION_METADATA_MISSING] = {"metadata_missing", "shard %1$u has samples of it, and not this"},
    [VIOLATION_METADATA_ORPHANED] = {"metadata_orphaned", "shard %1$u has this, and no sample of it"},
    [VIOLATION_UNSHARDED] = {"unsharded", "every shard has all of the whole: who answers knows of no shards"},
    [VIOLATION_UNSTEADY] = {"unsteady", "most of the series came or went meanwhile, so that nothing is proved"},
};

/* An item as text; its bytes are to be freed. */
static struct ss_span
text_of(const struct verify *v, uint32_t item, char **bytesp)
{
    size_t len = 0;
    *bytesp = NULL;
    FILE *out = open_memstream(bytesp, &len);
    if (out) {
        identity_print(out, v->observations.names.items[item].name);
        fclose(out);
    }
    return (struct ss_span){*bytesp ? *bytesp : "", len};
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* they stand in the table above */

static void
print_sentence(FILE *out, const struct violation *f)
{
    fprintf(out, mistakes[f->kind].sentence, f->shard, f->other);
}

/* For a person. */

static void
print_violation(const struct verify *v, const struct terminal *t, const struct violation *f)
{
    printf("  %s%-10s%s", terminal_colour(t, COLOUR_BAD), mistakes[f->kind].word, terminal_colour(t, COLOUR_NONE));
    if (f->item) {
        char *bytes;
        log_escape_text(stdout, text_of(v, f->item, &bytes));
        free(bytes);
        printf(": ");
    }
    print_sentence(stdout, f);
    if (f->reason) {
        printf(": ");
        log_escape_text(stdout, (struct ss_span){f->reason, strlen(f->reason)});
    }
    putchar('\n');
}

/* Whether there is a mistake that a rule may explain. */
static bool
may_be_a_rule(const struct verify_result *j)
{
    return j->counts[VIOLATION_LOST] || j->counts[VIOLATION_FAMILY_SPLIT] || j->counts[VIOLATION_DOUBLED];
}

static void
print_families(const struct verify *v, const char *what, uint64_t series, const bool *wanted)
{
    const struct families *f = &v->observations.families;
    uint32_t n = 0;
    if (!series)
        return;
    printf("%s: %" PRIu64 " series of", what, series);
    for (uint32_t i = 1; i <= f->names.n; i++) {
        if (!wanted[i] || n++ >= FAMILIES)
            continue;
        fputs(n == 1 ? " " : ", ", stdout);
        text_print(stdout, f->names.items[i].name);
    }
    if (n > FAMILIES)
        printf(", and %u more", n - FAMILIES);
    putchar('\n');
}

static const char doubt[] =
    "much of the service comes and goes between two scrapes. One that answers each client by what that client asked\n"
    "before takes all servers for one, the sidecar: max_age, or a URL parameter of its own for each server, cures "
    "that\n"
    "(README, \"Services that answer each client differently\").\n";

static void
print_doubt(const struct verify_result *j, const struct terminal *t)
{
    if (judgement_is_doubtful(j))
        printf("%sWarning:%s %s", terminal_colour(t, COLOUR_BAD), terminal_colour(t, COLOUR_NONE), doubt);
}

void
verify_print(const struct verify *v)
{
    const struct verify_result *j = &v->result;
    const struct observations *e = &v->observations;
    struct terminal t = terminal_of(stdout);

    printf("%s%s: %u shards, %s%s\n", terminal_colour(&t, COLOUR_BOLD), v->shown ? v->shown : "", v->cli.count,
           v->format, terminal_colour(&t, COLOUR_NONE));
    printf("the whole: %" PRIu64 " samples before, %" PRIu64 " after; the shards: %" PRIu64 "\n",
           e->series[ROLE_BEFORE], e->series[ROLE_AFTER], e->series[ROLE_SHARD]);
    if (v->rounds > 1)
        printf("asked again, for what looked wrong may only come and go: %u rounds\n", v->rounds);
    if (j->churn)
        printf("came or went meanwhile: %" PRIu64 " series\n", j->churn);
    print_families(v, "in every shard", j->replicated, j->replicated_families);
    print_families(v, "dropped", j->dropped, j->dropped_families);
    if (!j->n) {
        printf("%sRight:%s the shards are the whole, and they are disjoint.\n", terminal_colour(&t, COLOUR_GOOD),
               terminal_colour(&t, COLOUR_NONE));
        print_doubt(j, &t);
        return;
    }
    printf("%sWrong:%s %" PRIu64 " thing%s%s\n", terminal_colour(&t, COLOUR_BAD), terminal_colour(&t, COLOUR_NONE),
           j->n, j->n == 1 ? "" : "s", j->n > VIOLATIONS_SHOWN ? ", of which the first 20 are" : "");
    for (size_t i = 0; i < VIOLATIONS_SHOWN && i < j->n; i++)
        print_violation(v, &t, &j->violations[i]);
    if (j->counts[VIOLATION_SHARD])
        puts("Nothing can be said of the series as long as a shard is missing.");
    else if (may_be_a_rule(j) && !cli_has_config(&v->cli))
        puts("If the sidecar has rules, or another key than family, --config.file=FILE tells of them.");
    print_doubt(j, &t);
}

/* For a machine. */

static void
write_violation(const struct verify *v, struct json *j, const struct violation *f)
{
    static const bool has_other[VIOLATION_KINDS] = {
        [VIOLATION_DOUBLED] = true, [VIOLATION_MISPLACED] = true, [VIOLATION_FAMILY_SPLIT] = true};
    static const bool has_none[VIOLATION_KINDS] = {
        [VIOLATION_LOST] = true, [VIOLATION_UNSHARDED] = true, [VIOLATION_UNSTEADY] = true};
    char *bytes = NULL, *sentence = NULL;
    size_t len;
    FILE *out = open_memstream(&sentence, &len);

    json_open_object(j, NULL);
    json_word(j, "mistake", mistakes[f->kind].word);
    if (f->item)
        json_text(j, v->observations.items[f->item].is_meta ? "metadata" : "series", text_of(v, f->item, &bytes));
    if (f->kind == VIOLATION_NOT_REPLICATED)
        json_count(j, "shards", f->shard);
    else if (!has_none[f->kind])
        json_count(j, "shard", f->shard);
    if (has_other[f->kind])
        json_count(j, "other_shard", f->other);
    if (out) {
        print_sentence(out, f);
        fclose(out);
        if (sentence)
            json_word(j, "says", sentence);
    }
    if (f->reason)
        json_word(j, "reason", f->reason);
    json_close_object(j);
    free(sentence);
    free(bytes);
}

static void
write_families(const struct verify *v, struct json *j, const char *key, const bool *wanted)
{
    const struct families *f = &v->observations.families;
    json_open_array(j, key);
    for (uint32_t i = 1; wanted && i <= f->names.n; i++)
        if (wanted[i])
            json_text(j, NULL, f->names.items[i].name);
    json_close_array(j);
}

void
verify_print_json(const struct verify *v)
{
    const struct verify_result *result = &v->result;
    struct json json = {.out = stdout}, *j = &json;

    json_open_object(j, NULL);
    json_flag(j, "right", !result->n);
    json_word(j, "url", v->shown ? v->shown : "");
    json_word(j, "format", v->format);
    json_count(j, "shard_count", v->cli.count);
    json_count(j, "samples_before", v->observations.series[ROLE_BEFORE]);
    json_count(j, "samples_after", v->observations.series[ROLE_AFTER]);
    json_count(j, "samples_in_shards", v->observations.series[ROLE_SHARD]);
    json_count(j, "rounds", v->rounds);
    json_count(j, "series_that_came_or_went", result->churn);
    json_flag(j, "much_came_or_went", judgement_is_doubtful(result));
    json_count(j, "replicated_series", result->replicated);
    write_families(v, j, "replicated_families", result->replicated_families);
    json_count(j, "dropped_series", result->dropped);
    write_families(v, j, "dropped_families", result->dropped_families);
    json_count(j, "mistakes", result->n);
    json_open_array(j, "first_mistakes");
    for (size_t i = 0; i < VIOLATIONS_SHOWN && i < result->n; i++)
        write_violation(v, j, &result->violations[i]);
    json_close_array(j);
    json_close_object(j);
}
