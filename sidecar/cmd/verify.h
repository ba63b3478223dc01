/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_VERIFY_H
#define CMD_VERIFY_H
/* What was seen in the whole and in the shards of a running sidecar, and what is wrong with that. */
#include "cli_common.h"

#include "core/key/families.h"

#include <scrapeshard/index.h>

/* In which shards something is. */
struct occurrences {
    uint32_t shards;        /* in how many */
    uint32_t first, second; /* the first two of them */
    uint32_t last, here;    /* the one seen last, plus 1, and how often it is in there */
    uint32_t most;          /* how often in one of them */
};

/* A series, or metadata: one of HELP, TYPE and UNIT for a name; in protobuf, a family's message. */
struct item {
    uint32_t before, after; /* how often it is in the whole */
    struct occurrences found;
    struct occurrences expected; /* by the configuration */
    uint32_t family;             /* number of the family that metadata declare for it, in evidence.families */
    uint32_t key;                /* a series': number of its family by the default key, in evidence.keys */
    bool is_meta;
    unsigned char *shards; /* of metadata: a bit for each shard that has it */
    /* Bits of enum violation_kind, of those that may be none: */
    uint16_t wrong;     /* in this round */
    uint16_t suspected; /* in all rounds before it */
    bool comes;         /* it was in one whole of a round and not in the other */
    bool flaps;         /* it was wrong in one round and not in another */
};

/* Which body is read. */
enum role { ROLE_BEFORE, ROLE_AFTER, ROLE_SHARD, ROLE_EXPECTED };

struct observations {
    uint32_t count;          /* of shards */
    bool is_protobuf;        /* the body that was read last */
    struct name_table names; /* of items: what makes them the same, see identity.h */
    struct item *items;      /* by number */
    uint32_t capacity;
    struct families families;
    struct name_table keys;
    struct arena arena;
    uint64_t series[4]; /* by role: samples read */
};

/* Adds what a body says; shard is that of ROLE_SHARD and ROLE_EXPECTED. 0, or an exit status, and why, of SOURCE_REASON
   bytes, tells the reason. */
int observations_read(struct observations *observations, struct ss_span body, const char *format, enum role role,
                      uint32_t shard, char *why);

/* Forgets where everything was, for another round, but not what was suspected. */
void evidence_begin_round(struct observations *observations);

/* Zeroed but for count is empty. */
void observations_deinit(struct observations *observations);

/* The judgement. */

enum violation_kind {
    VIOLATION_SHARD,             /* a shard cannot be had */
    VIOLATION_LOST,              /* in the whole, in no shard */
    VIOLATION_DOUBLED,           /* in several shards, and not in all */
    VIOLATION_REPEATED,          /* more often in a shard than in the whole */
    VIOLATION_MISPLACED,         /* in another shard than the configuration says */
    VIOLATION_NOT_REPLICATED,    /* replicated, but not in every shard */
    VIOLATION_UNDROPPED,         /* dropped, but in a shard */
    VIOLATION_UNEXPECTED,        /* in a shard, but not in the whole */
    VIOLATION_FAMILY_SPLIT,      /* of a family that is in another shard */
    VIOLATION_METADATA_MISSING,  /* metadata that are missing where their samples are */
    VIOLATION_METADATA_ORPHANED, /* metadata where no sample of theirs is */
    VIOLATION_UNSHARDED,         /* all that the whole has is in every shard */
    VIOLATION_UNSTEADY,          /* most series came or went */
    VIOLATION_KINDS
};

/* One thing that is wrong. */
struct violation {
    enum violation_kind kind;
    uint32_t item;         /* number; 0: none */
    uint32_t shard, other; /* the shards in question; what they mean depends on the mistake */
    char *reason;          /* VIOLATION_SHARD */
};

enum { VIOLATIONS_SHOWN = 20 };

struct verify_result {
    struct violation violations[VIOLATIONS_SHOWN]; /* the first ones */
    uint64_t n;                                    /* of them, all */
    uint64_t counts[VIOLATION_KINDS];
    uint64_t series, replicated, dropped; /* series: in both wholes; in every shard; in none */
    uint64_t churn, comes;                /* that came or went in any round; and those of them that the wholes show */
    bool is_final;                        /* another round would say nothing else */
    bool *replicated_families, *dropped_families; /* by number, in evidence.families */
};

/* Adds a finding, taking the reason over. */
void verify_result_add(struct verify_result *result, struct violation violation);

/*
 * Judges the evidence of a round, counted from 0, which has every shard; expected tells that it has what the
 * configuration says. What flaps may look like some mistakes, but not like the same one again and again: of those, from
 * the second round on, only what was wrong in all rounds is one. 0 or -ENOMEM.
 */
int verify_result_check(struct verify_result *result, struct observations *observations, unsigned round, bool expected);

/* Whether so much came and went that it is worth a warning. */
bool judgement_is_doubtful(const struct verify_result *result);

void verify_result_deinit(struct verify_result *result);

/* All that is told. */
struct verify {
    struct cli cli;          /* must be first: its functions take it for all there is */
    const char *url, *whole; /* the whole's own URL, if it has one */
    char *shown;             /* the first of them, as it may be told */
    const char *format;
    unsigned rounds;
    struct observations observations;
    struct verify_result result;
};

void verify_print(const struct verify *verify);
void verify_print_json(const struct verify *verify);

#endif
