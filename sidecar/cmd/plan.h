/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PLAN_H
#define CMD_PLAN_H
/* How a body falls into shards: what plan finds out, and what it tells. */
#include "cli_common.h"

#include <scrapeshard/index.h>

/* How the body falls, whatever the count: its parts by family, kind and hash, none twice. */
struct fall {
    const struct config *config;
    const struct ss_index *index;
    struct ss_index_part
        *parts; /* families' names are borrowed from the index, and the same name is the same pointer */
    size_t n, capacity;
    bool short_of_memory;              /* some parts are missing */
    bool has_meta;                     /* metadata go with series, so that some bytes stand in several shards */
    uint64_t series, bytes;            /* of the body */
    uint64_t every, dropped, families; /* series in every shard and in none; families of the body */
};

/* What a shard has. */
struct load {
    uint64_t series, bytes, families;
};

/* What a count gives. */
struct balance {
    uint32_t count, fullest;
    uint64_t most_series, most_bytes;
    double mean_series, mean_bytes; /* of the shards */
    double by_series, by_bytes;     /* the skew: the most by the mean */
};

/* How plan reads a body. content_type is borrowed. */
struct ss_filter_settings plan_settings(const struct config *config, const char *content_type);

/* 0 or -ENOMEM; to be freed with fall_deinit() in both cases. */
int fall_init(struct fall *fall, const struct ss_index *index, const struct config *config);
void fall_deinit(struct fall *fall);

/* The loads of count shards. 0 or -ENOMEM. Where metadata go with series, bytes are only nearly right. */
int fall_loads(const struct fall *fall, uint32_t count, struct load *loads);

/* The same, with all bytes right. Slower. */
int fall_loads_exactly(const struct fall *fall, uint32_t count, struct load *loads);

struct balance balance_of(const struct load *loads, uint32_t count);

/* A family in a shard. */
struct share {
    struct ss_span family; /* borrowed from the index */
    uint64_t series, bytes;
};

enum { SHARES = 5, COUNTS_LEAST = 2, COUNTS_MOST = 128, CURE_MOST = 55 };

/* The families with the most series in a shard, largest first; how many were written. */
size_t fall_largest(const struct fall *fall, uint32_t count, uint32_t shard, struct share *out, size_t n);

/* How many series change their shard from one count to another. */
uint64_t fall_moved(const struct fall *fall, enum ss_placement placement, uint32_t from, uint32_t to);

/* Split rules that were tried. */
struct cure {
    char *patterns[CURE_MOST];
    size_t n; /* 0: nothing helps */
    size_t families;
    bool needed; /* the skew is not as small as it gets */
    struct balance balance;
};

/* Above such a skew by series a cure is looked for. */
#define SKEW_FINE 1.2

/*
 * Looks for the fewest families whose splitting makes the shards about as even as splitting can, by trying. 0, or an
 * exit status, after saying why; to be freed with cure_deinit() in both cases.
 */
int cure_find(struct cure *cure, struct tool *tool, const struct fall *fall, const struct balance *before);
void cure_deinit(struct cure *cure);

/* All that is told. */
struct plan {
    struct tool tool; /* must be first: its functions take it for all there is */
    const char *name; /* of the body's source */
    char *url;        /* it, as it may be told, if it is one */
    uint32_t to;
    uint64_t targets; /* 0: nobody asks for the fleet */
    double interval;  /* seconds */
    struct fall fall;
    struct load *loads;
    struct balance balance;
    struct balance counts[COUNTS_MOST + 1]; /* by their count */
    struct share shares[SHARES];
    size_t n_shares;
    uint64_t moved[2]; /* by enum ss_placement */
    struct cure cure;
};

/* What the fleet does in a second: all of its servers, one of them, and the fullest. */
struct cost {
    double fleet, server, fullest;
};

/* Of T targets, each of whose N servers gets a body of so much whole, or, after, its own shard of it. */
struct cost plan_cost_before(const struct plan *plan, uint64_t body);
struct cost plan_cost_after(const struct plan *plan, double mean, uint64_t most);

void plan_print(const struct plan *plan);
void plan_print_json(const struct plan *plan);

#endif
