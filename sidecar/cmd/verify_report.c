/* SPDX-License-Identifier: Apache-2.0 */
/* The report of verify, and its JSON. */
#include "verify.h"

#include "escape.h"
#include "identity.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Families that the report names. */
enum { FAMILIES_SHOWN = 10 };

static const struct {
    const char *kind, *message; /* with shard and other */
} violations[VIOLATION_KINDS] = {
    [VIOLATION_SHARD] = {"shard_failed", "shard %1$u could not be read"},
    [VIOLATION_LOST] = {"lost", "in the unsharded body, but in no shard"},
    [VIOLATION_LESS_OFTEN] = {"lost", "less often in shard %1$u than in the unsharded body"},
    [VIOLATION_DUPLICATED] = {"duplicated", "in shard %1$u and in shard %2$u"},
    [VIOLATION_REPEATED] = {"repeated", "more often in shard %1$u than in the unsharded body"},
    [VIOLATION_MISPLACED] = {"misplaced", "in shard %1$u; the configuration expects shard %2$u"},
    [VIOLATION_NOT_REPLICATED] = {"not_replicated", "in %1$u shards; the configuration expects it in every shard"},
    [VIOLATION_NOT_DROPPED] = {"not_dropped", "in shard %1$u; the configuration drops it"},
    [VIOLATION_UNEXPECTED] = {"unexpected", "in shard %1$u, but not in the unsharded body"},
    [VIOLATION_FAMILY_SPLIT] = {"family_split", "in shard %1$u, other series of its family in shard %2$u"},
    [VIOLATION_METADATA_MISSING] = {"metadata_missing", "shard %1$u has samples, but not this metadata"},
    [VIOLATION_METADATA_ORPHANED] = {"metadata_orphaned", "shard %1$u has this metadata without samples"},
    [VIOLATION_NOT_SHARDED] = {"not_sharded",
                               "every shard is the unsharded body: the server ignores the shard parameters"},
    [VIOLATION_UNSTABLE] = {"unstable", "most series came or went between requests, so nothing is proved"},
};

/* An item as text; *bytesp is to be freed. */
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

#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the table above has them */

static void
print_message(FILE *out, const struct violation *violation)
{
    fprintf(out, violations[violation->kind].message, violation->shard, violation->other);
}

/* The report. */

static void
print_violation(const struct verify *v, const struct terminal *t, const struct violation *violation)
{
    printf("  %s%-17s%s ", terminal_colour(t, COLOUR_BAD), violations[violation->kind].kind,
           terminal_colour(t, COLOUR_NONE));
    if (violation->item) {
        char *bytes;
        print_escaped_controls(stdout, text_of(v, violation->item, &bytes));
        free(bytes);
        printf(": ");
    }
    print_message(stdout, violation);
    if (violation->reason) {
        printf(": ");
        print_escaped_controls(stdout, (struct ss_span){violation->reason, strlen(violation->reason)});
    }
    putchar('\n');
}

/* Whether rules or another key could explain a violation. */
static bool
may_be_configured(const struct verify_result *result)
{
    return result->counts[VIOLATION_LOST] || result->counts[VIOLATION_FAMILY_SPLIT] ||
           result->counts[VIOLATION_DUPLICATED];
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
        if (!wanted[i] || n++ >= FAMILIES_SHOWN)
            continue;
        fputs(n == 1 ? " " : ", ", stdout);
        print_escaped(stdout, f->names.items[i].name);
    }
    if (n > FAMILIES_SHOWN)
        printf(", and %u more", n - FAMILIES_SHOWN);
    putchar('\n');
}

static const char churn_warning[] =
    "many series come and go between two scrapes. If the upstream's response depends on what the client has seen\n"
    "before, it treats all servers as one client, the sidecar. Use max_age, or a URL parameter for each server\n"
    "(contrib/docs/snapshots.md, \"Services that answer each client differently\").\n";

static void
print_churn_warning(const struct verify_result *result, const struct terminal *t)
{
    if (verify_result_has_high_churn(result))
        printf("%sWarning:%s %s", terminal_colour(t, COLOUR_BAD), terminal_colour(t, COLOUR_NONE), churn_warning);
}

void
verify_print(const struct verify *v)
{
    const struct verify_result *result = &v->result;
    const struct observations *o = &v->observations;
    struct terminal t = terminal_of(stdout);

    printf("%s%s: %u shards, %s%s\n", terminal_colour(&t, COLOUR_BOLD), v->shown ? v->shown : "", v->cli.count,
           v->format, terminal_colour(&t, COLOUR_NONE));
    printf("samples: %" PRIu64 " in the unsharded body, %" PRIu64 " when fetched again, %" PRIu64 " in the shards\n",
           o->series[ROLE_BEFORE], o->series[ROLE_AFTER], o->series[ROLE_SHARD]);
    if (v->rounds > 1)
        printf("rounds: %u, to separate violations from churn\n", v->rounds);
    if (result->churn)
        printf("churn: %" PRIu64 " series came or went\n", result->churn);
    print_families(v, "in every shard", result->replicated, result->replicated_families);
    print_families(v, "dropped", result->dropped, result->dropped_families);
    if (!result->n) {
        printf("%sOK:%s the shards are complete and disjoint.\n", terminal_colour(&t, COLOUR_GOOD),
               terminal_colour(&t, COLOUR_NONE));
        print_churn_warning(result, &t);
        return;
    }
    printf("%sFAILED:%s %" PRIu64 " violation%s%s\n", terminal_colour(&t, COLOUR_BAD), terminal_colour(&t, COLOUR_NONE),
           result->n, result->n == 1 ? "" : "s", result->n > VIOLATIONS_SHOWN ? ", the first 20:" : "");
    for (size_t i = 0; i < VIOLATIONS_SHOWN && i < result->n; i++)
        print_violation(v, &t, &result->violations[i]);
    if (result->counts[VIOLATION_SHARD])
        puts("The series were not checked, since that needs every shard.");
    else if (may_be_configured(result) && !cli_has_config(&v->cli))
        puts("If the sidecar has rules, or another key than family, pass --config.file=FILE.");
    if (verify_other_count(v) > v->cli.count)
        printf("A reshard is announced, and the other count may be in force: verify with the larger of its two shard "
               "counts, --shard-count=%u.\n",
               verify_other_count(v));
    print_churn_warning(result, &t);
}

/* JSON. */

static void
write_violation(const struct verify *v, struct json *j, const struct violation *violation)
{
    static const bool has_other[VIOLATION_KINDS] = {
        [VIOLATION_DUPLICATED] = true, [VIOLATION_MISPLACED] = true, [VIOLATION_FAMILY_SPLIT] = true};
    static const bool has_none[VIOLATION_KINDS] = {
        [VIOLATION_LOST] = true, [VIOLATION_NOT_SHARDED] = true, [VIOLATION_UNSTABLE] = true};
    char *bytes = NULL, *message = NULL;
    size_t len;
    FILE *out = open_memstream(&message, &len);

    json_open_object(j, NULL);
    json_word(j, "kind", violations[violation->kind].kind);
    if (violation->item)
        json_text(j, v->observations.items[violation->item].is_meta ? "metadata" : "series",
                  text_of(v, violation->item, &bytes));
    if (violation->kind == VIOLATION_NOT_REPLICATED)
        json_count(j, "shards", violation->shard);
    else if (!has_none[violation->kind])
        json_count(j, "shard", violation->shard);
    if (has_other[violation->kind])
        json_count(j, "other_shard", violation->other);
    if (out) {
        print_message(out, violation);
        fclose(out);
        if (message)
            json_word(j, "message", message);
    }
    if (violation->reason)
        json_word(j, "reason", violation->reason);
    json_close_object(j);
    free(message);
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
    json_flag(j, "ok", !result->n);
    json_word(j, "url", v->shown ? v->shown : "");
    json_word(j, "format", v->format);
    json_count(j, "shard_count", v->cli.count);
    json_count(j, "samples_before", v->observations.series[ROLE_BEFORE]);
    json_count(j, "samples_after", v->observations.series[ROLE_AFTER]);
    json_count(j, "samples_in_shards", v->observations.series[ROLE_SHARD]);
    json_count(j, "rounds", v->rounds);
    json_count(j, "churned_series", result->churn);
    json_flag(j, "high_churn", verify_result_has_high_churn(result));
    json_count(j, "replicated_series", result->replicated);
    write_families(v, j, "replicated_families", result->replicated_families);
    json_count(j, "dropped_series", result->dropped);
    write_families(v, j, "dropped_families", result->dropped_families);
    json_count(j, "violations", result->n);
    json_open_array(j, "first_violations");
    for (size_t i = 0; i < VIOLATIONS_SHOWN && i < result->n; i++)
        write_violation(v, j, &result->violations[i]);
    json_close_array(j);
    json_close_object(j);
}
