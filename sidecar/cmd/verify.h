/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_VERIFY_H
#define CMD_VERIFY_H
/* What was observed in the unsharded body and the shards of a running sidecar, and which checks that violates. */
#include "cli_common.h"

#include "core/key/families.h"

#include <scrapeshard/index.h>

/* The shards that something is in. */
struct occurrences {
    uint32_t shards;        /* how many */
    uint32_t first, second; /* the first two of them */
    uint32_t last, here;    /* the last one, plus 1, and how often it is in there */
    uint32_t max;           /* how often in a single shard */
};

/* A series, or metadata: HELP, TYPE or UNIT of a name; in protobuf the message of a family. */
struct item {
    uint32_t before, after; /* how often it is in each unsharded body */
    struct occurrences found;
    struct occurrences expected; /* by the configuration */
    uint32_t family;             /* declared by metadata: its number in observations.families */
    uint32_t key;                /* of a series: the number of its default key in observations.keys */
    bool is_meta;
    unsigned char *shards; /* of metadata: a bit per shard that has it */
    /* Bits of enum violation_kind, of those that may be churn: */
    uint16_t wrong;     /* in this round */
    uint16_t suspected; /* in all rounds before it */
    bool churns;        /* it was in one unsharded body of a round and not in the other */
    bool flaps;         /* it was wrong in one round and not in another */
};

/* Which body is read: the unsharded one before and after the shards, a shard, or what the configuration expects. */
enum role { ROLE_BEFORE, ROLE_AFTER, ROLE_SHARD, ROLE_EXPECTED };

struct observations {
    uint32_t count;          /* of shards */
    bool is_protobuf;        /* the last body */
    struct name_table names; /* identities of the items, see identity.h */
    struct item *items;      /* by number */
    uint32_t capacity;
    struct families families;
    struct name_table keys;
    struct arena arena;
    uint64_t series[4]; /* by role: samples read */
};

/* Adds a body; shard is for ROLE_SHARD and ROLE_EXPECTED. 0, or an exit status, and why, of SOURCE_REASON bytes, has
   the reason. */
int observations_read(struct observations *observations, struct ss_span body, const char *format, enum role role,
                      uint32_t shard, char *why);

/* Forgets, for another round, where everything was, but not what was suspected. */
void observations_begin_round(struct observations *observations);

/* Forgets what the configuration expects. */
void observations_forget_expected(struct observations *observations);

/* Whether a series is in another shard than expected. */
bool observations_have_misplaced(const struct observations *observations);

/* Ready when zeroed except for count. */
void observations_deinit(struct observations *observations);

/* The result. */

enum violation_kind {
    VIOLATION_SHARD,             /* a shard could not be read */
    VIOLATION_LOST,              /* in the unsharded body, but in no shard */
    VIOLATION_LESS_OFTEN,        /* less often in its shard than in the unsharded body */
    VIOLATION_DUPLICATED,        /* in several shards, but not in all */
    VIOLATION_REPEATED,          /* more often in a shard than in the unsharded body */
    VIOLATION_MISPLACED,         /* in another shard than configured */
    VIOLATION_NOT_REPLICATED,    /* configured as replicated, but not in every shard */
    VIOLATION_NOT_DROPPED,       /* configured as dropped, but in a shard */
    VIOLATION_UNEXPECTED,        /* in a shard, but not in the unsharded body */
    VIOLATION_FAMILY_SPLIT,      /* in another shard than other series of its family */
    VIOLATION_METADATA_MISSING,  /* not in a shard that has samples of it */
    VIOLATION_METADATA_ORPHANED, /* in a shard without samples of it */
    VIOLATION_NOT_SHARDED,       /* every shard is the unsharded body */
    VIOLATION_UNSTABLE,          /* most series are churn */
    VIOLATION_KINDS
};

struct violation {
    enum violation_kind kind;
    uint32_t item;         /* number; 0: none */
    uint32_t shard, other; /* see the messages of verify_report.c */
    char *reason;          /* VIOLATION_SHARD */
};

enum { VIOLATIONS_SHOWN = 20 };

struct verify_result {
    struct violation violations[VIOLATIONS_SHOWN]; /* the first ones */
    uint64_t n;                                    /* of all violations */
    uint64_t counts[VIOLATION_KINDS];
    uint64_t series, replicated, dropped; /* series: in both unsharded bodies; in every shard; in none */
    uint64_t churn, visible_churn; /* series that came or went in any round; those that the unsharded bodies show */
    bool is_final;                 /* another round would not change it */
    bool *replicated_families, *dropped_families; /* by number in observations.families */
};

/* Adds a violation. Takes ownership of its reason. */
void verify_result_add(struct verify_result *result, struct violation violation);

/*
 * Checks the observations of a round, counted from 0, in which every shard was read; expected: they include what the
 * configuration expects. Churn can look like some violations, but not like the same one in every round: from the second
 * round on, those count only if they were found in all rounds. 0 or -ENOMEM.
 */
int verify_result_check(struct verify_result *result, struct observations *observations, unsigned round, bool expected);

/* Whether there is enough churn for a warning. */
bool verify_result_has_high_churn(const struct verify_result *result);

void verify_result_deinit(struct verify_result *result);

struct verify {
    struct cli cli;
    const char *url;
    const char *unsharded_url; /* NULL: url */
    char *shown;               /* url without secrets */
    const char *format;
    unsigned rounds;
    struct observations observations;
    struct verify_result result;
};

/* The other count of a reshard that the configuration announces, or 0. */
uint32_t verify_other_count(const struct verify *verify);

void verify_print(const struct verify *verify);
void verify_print_json(const struct verify *verify);

#endif
