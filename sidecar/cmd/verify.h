/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_VERIFY_H
#define CMD_VERIFY_H
/* What was seen in the whole and in the shards of a running sidecar, and what is wrong with that. */
#include "cli_common.h"

#include "core/key/families.h"

#include <scrapeshard/index.h>

/* In which shards something is. */
struct place {
    uint32_t shards;        /* in how many */
    uint32_t first, second; /* the first two of them */
    uint32_t last, here;    /* the one seen last, plus 1, and how often it is in there */
    uint32_t most;          /* how often in one of them */
};

/* A series, or metadata: one of HELP, TYPE and UNIT for a name; in protobuf, a family's message. */
struct item {
    uint32_t before, after; /* how often it is in the whole */
    struct place found;
    struct place expected; /* by the configuration */
    uint32_t family;       /* number of the family that metadata declare for it, in evidence.families */
    uint32_t key;          /* a series': number of its family by the default key, in evidence.keys */
    bool is_meta;
    unsigned char *shards; /* of metadata: a bit for each shard that has it */
    /* Bits of enum mistake, of those that may be none: */
    uint16_t wrong;     /* in this round */
    uint16_t suspected; /* in all rounds before it */
    bool comes;         /* it was in one whole of a round and not in the other */
    bool flaps;         /* it was wrong in one round and not in another */
};

/* Which body is read. */
enum role { ROLE_BEFORE, ROLE_AFTER, ROLE_SHARD, ROLE_EXPECTED };

struct evidence {
    uint32_t count;     /* of shards */
    bool is_protobuf;   /* the body that was read last */
    struct names names; /* of items: what makes them the same, see identity.h */
    struct item *items; /* by number */
    uint32_t capacity;
    struct families families;
    struct names keys;
    struct arena arena;
    uint64_t series[4]; /* by role: samples read */
};

/* Adds what a body says; shard is that of ROLE_SHARD and ROLE_EXPECTED. 0, or an exit status, and why, of SOURCE_REASON
   bytes, tells the reason. */
int evidence_read(struct evidence *evidence, struct ss_span body, const char *format, enum role role, uint32_t shard,
                  char *why);

/* Forgets where everything was, for another round, but not what was suspected. */
void evidence_begin_round(struct evidence *evidence);

/* Zeroed but for count is empty. */
void evidence_deinit(struct evidence *evidence);

/* The judgement. */

enum mistake {
    MISTAKE_SHARD,     /* a shard cannot be had */
    MISTAKE_LOST,      /* in the whole, in no shard */
    MISTAKE_DOUBLED,   /* in several shards, and not in all */
    MISTAKE_REPEATED,  /* more often in a shard than in the whole */
    MISTAKE_MISPLACED, /* in another shard than the configuration says */
    MISTAKE_UNSHARED,  /* replicated, but not in every shard */
    MISTAKE_UNDROPPED, /* dropped, but in a shard */
    MISTAKE_STRAY,     /* in a shard, but not in the whole */
    MISTAKE_TORN,      /* of a family that is in another shard */
    MISTAKE_BARE,      /* metadata that are missing where their samples are */
    MISTAKE_ALONE,     /* metadata where no sample of theirs is */
    MISTAKE_UNSHARDED, /* all that the whole has is in every shard */
    MISTAKE_UNSTEADY,  /* most series came or went */
    MISTAKES
};

/* One thing that is wrong. */
struct finding {
    enum mistake mistake;
    uint32_t item;         /* number; 0: none */
    uint32_t shard, other; /* the shards in question; what they mean depends on the mistake */
    char *reason;          /* MISTAKE_SHARD */
};

enum { FINDINGS = 20 };

struct judgement {
    struct finding findings[FINDINGS]; /* the first ones */
    uint64_t n;                        /* of them, all */
    uint64_t counts[MISTAKES];
    uint64_t series, replicated, dropped; /* series: in both wholes; in every shard; in none */
    uint64_t churn, comes;                /* that came or went in any round; and those of them that the wholes show */
    bool is_final;                        /* another round would say nothing else */
    bool *replicated_families, *dropped_families; /* by number, in evidence.families */
};

/* Adds a finding, taking the reason over. */
void judgement_add(struct judgement *judgement, struct finding finding);

/*
 * Judges the evidence of a round, counted from 0, which has every shard; expected tells that it has what the
 * configuration says. What flaps may look like some mistakes, but not like the same one again and again: of those, from
 * the second round on, only what was wrong in all rounds is one. 0 or -ENOMEM.
 */
int judgement_pass(struct judgement *judgement, struct evidence *evidence, unsigned round, bool expected);

/* Whether so much came and went that it is worth a warning. */
bool judgement_is_doubtful(const struct judgement *judgement);

void judgement_deinit(struct judgement *judgement);

/* All that is told. */
struct verify {
    struct tool tool;        /* must be first: its functions take it for all there is */
    const char *url, *whole; /* the whole's own URL, if it has one */
    char *shown;             /* the first of them, as it may be told */
    const char *format;
    unsigned rounds;
    struct evidence evidence;
    struct judgement judgement;
};

void verify_print(const struct verify *verify);
void verify_print_json(const struct verify *verify);

#endif
