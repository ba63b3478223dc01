/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core compared with the floor of any line splitter: CPU per body, min, median and deviation over the rounds, and
 * speed relative to a bare memchr loop over the same lines. All contests take turns in one run.
 *
 *     bench-core FILE [CONTENT-TYPE [ROUNDS [CONTEST]...]]
 *
 * Runs only the named contests, and the floor. The last contest is igzip alone at level 1 over the whole body, 16 KiB
 * at once: the minimum cost of a compressed response.
 */
#include <scrapeshard/filter.h>

#include <isa-l/igzip_lib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ROUNDS = 2000, FEED = 16 * 1024 };

static const char *content_type = "text/plain";

struct contest {
    const char *name;
    uint64_t (*run)(struct ss_span body, const struct contest *contest); /* bytes or lines */
    uint32_t count;                                                      /* shards */
    size_t feed;                                                         /* bytes fed at once */
    enum ss_key key;
    enum ss_hash hash;
    int rules;         /* of each kind */
    bool named_groups; /* colocate rules are of the form NAME: PATTERN */
    const char *drop;  /* a rule of its own */
    bool count_families;
    bool cached; /* with the keys of the round before */
    struct ss_key_cache *cache;
    struct ss_sharding *sharding;
    double seconds[MOST_ROUNDS];
    uint64_t kept;
};

static double
cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *
read_file(const char *path, size_t *lenp)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) {
        perror(path);
        exit(1);
    }
    size_t len = (size_t)ftell(f);
    char *bytes = malloc(len + 1);
    rewind(f);
    if (!bytes || fread(bytes, 1, len, f) != len)
        exit(1);
    fclose(f);
    *lenp = len;
    return bytes;
}

static uint64_t
memchr_lines(struct ss_span body, const struct contest *contest)
{
    (void)contest;
    uint64_t n = 0;
    for (const char *p = body.ptr, *end = p + body.len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        n++;
    return n;
}

/* Copies the kept spans, as a sender would. */
static char copied[16 * 1024 * 1024];

struct copy {
    uint64_t len;
};

static int
copy_take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct copy *copy = ctx;
    for (size_t i = 0; i < n; i++) {
        memcpy(copied, spans[i].ptr, spans[i].len < sizeof(copied) ? spans[i].len : sizeof(copied));
        copy->len += spans[i].len;
    }
    return 0;
}

static uint64_t
filter_body(struct ss_span body, const struct contest *contest)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_shards_error error;
    struct ss_shards *shards;
    struct ss_filter *filter;
    struct copy copy = {0};
    struct ss_sink sink = {copy_take, &copy};

    if (ss_shards_parse(&shards, (struct ss_span){"0", 1}, contest->count, &error))
        exit(1);
    settings.content_type = content_type;
    settings.shards = shards;
    settings.sharding = contest->sharding;
    settings.count_families = contest->count_families;
    settings.key_cache = contest->cache;
    if (ss_filter_new(&filter, &settings))
        exit(1);
    while (body.len) {
        struct ss_span piece = {body.ptr, body.len < contest->feed ? body.len : contest->feed};
        if (ss_filter_feed(filter, piece, &sink))
            exit(1);
        body.ptr += piece.len;
        body.len -= piece.len;
    }
    if (ss_filter_end(filter, &sink))
        exit(1);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return copy.len;
}

static uint64_t
igzip_body(struct ss_span body, const struct contest *contest)
{
    const size_t feed = contest->feed;
    static uint8_t level_buffer[ISAL_DEF_LVL1_DEFAULT], out[64 * 1024];
    struct isal_zstream z;
    isal_deflate_init(&z);
    z.gzip_flag = IGZIP_GZIP;
    z.level = 1;
    z.level_buf = level_buffer;
    z.level_buf_size = sizeof(level_buffer);
    for (size_t at = 0; at < body.len; at += feed) {
        z.next_in = (uint8_t *)(uintptr_t)body.ptr + at;
        z.avail_in = (uint32_t)(body.len - at < feed ? body.len - at : feed);
        z.end_of_stream = at + feed >= body.len;
        do {
            z.next_out = out;
            z.avail_out = sizeof(out);
            if (isal_deflate(&z))
                exit(1);
        } while (!z.avail_out);
    }
    return z.total_out;
}

static void
add_rule(struct ss_rules *rules, enum ss_action action, const char *pattern)
{
    struct ss_rule_error error;
    if (ss_rules_add(rules, action, (struct ss_span){pattern, strlen(pattern)}, &error))
        exit(1);
}

/* Rules that match some of the names that body.py makes, and many that match none. */
static struct ss_rules *
make_rules(const struct contest *c)
{
    static const struct {
        const char *prefix, *suffix; /* of a number */
    } patterns[] = {
        [SS_ACTION_DROP] = {"banner_", "_.*"},           [SS_ACTION_KEEP] = {"(?:[a-z]+_)+(?:", "_)?.*"},
        [SS_ACTION_REPLICATE] = {".*_", "_build_info"},  [SS_ACTION_COLOCATE] = {"(kafka_[a-z]+)_", "_.*"},
        [SS_ACTION_SPLIT] = {"worker_giant_", "_bytes"},
    };
    struct ss_rules *rules;
    if (ss_rules_new(&rules))
        exit(1);
    if (c->drop)
        add_rule(rules, SS_ACTION_DROP, c->drop);
    for (int action = SS_ACTION_DROP; action <= SS_ACTION_SPLIT; action++) {
        for (int i = 0; i < c->rules; i++) {
            char pattern[80];
            int len = 0;
            if (action == SS_ACTION_COLOCATE && c->named_groups)
                len = snprintf(pattern, sizeof(pattern), "group_%d: ", i);
            snprintf(pattern + len, sizeof(pattern) - (size_t)len, "%s%d%s", patterns[action].prefix, i,
                     patterns[action].suffix);
            add_rule(rules, (enum ss_action)action, pattern);
        }
    }
    return rules;
}

static void
make_sharding(struct contest *c)
{
    const struct ss_span labels[] = {{"handler", 7}, {"pool", 4}};
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    settings.key = c->key;
    settings.hash = c->hash;
    settings.source_labels = labels;
    settings.n_source_labels = 2;
    settings.rules = c->rules || c->drop ? make_rules(c) : NULL;
    if (ss_sharding_new(&c->sharding, &settings) || (c->cached && ss_key_cache_new(&c->cache, SIZE_MAX)))
        exit(1);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether a contest was named, or none was. */
static bool
is_wanted(const char *name, char **names, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return n <= 0;
}

int
main(int argc, char **argv)
{
    static struct contest contests[] = {
        {.name = "memchr loop", .run = memchr_lines},
        {.name = "N=80, whole", .run = filter_body, .count = 80, .feed = SIZE_MAX},
        {.name = "N=80, 16 KiB", .run = filter_body, .count = 80, .feed = FEED},
        {.name = "N=8, 16 KiB", .run = filter_body, .count = 8, .feed = FEED},
        {.name = "N=1, 16 KiB", .run = filter_body, .count = 1, .feed = FEED},
        {.name = "families", .run = filter_body, .count = 80, .feed = FEED, .count_families = true},
        {.name = "md5", .run = filter_body, .count = 80, .feed = FEED, .hash = SS_HASH_MD5},
        {.name = "rules", .run = filter_body, .count = 80, .feed = FEED, .rules = 10},
        {.name = "named groups", .run = filter_body, .count = 80, .feed = FEED, .rules = 10, .named_groups = true},
        {.name = "declared", .run = filter_body, .count = 80, .feed = FEED, .key = SS_KEY_DECLARED},
        {.name = "name", .run = filter_body, .count = 80, .feed = FEED, .key = SS_KEY_NAME},
        {.name = "labels", .run = filter_body, .count = 80, .feed = FEED, .key = SS_KEY_LABELS},
        {.name = "labels, md5",
         .run = filter_body,
         .count = 80,
         .feed = FEED,
         .key = SS_KEY_LABELS,
         .hash = SS_HASH_MD5},
        {.name = "labels, cached", .run = filter_body, .count = 80, .feed = FEED, .key = SS_KEY_LABELS, .cached = true},
        {.name = "md5, cached",
         .run = filter_body,
         .count = 80,
         .feed = FEED,
         .key = SS_KEY_LABELS,
         .hash = SS_HASH_MD5,
         .cached = true},
        /* Every series is asked for two labels: of few values, and of as many as there are series. */
        {.name = "selector",
         .run = filter_body,
         .count = 80,
         .feed = FEED,
         .drop = "{method=~\"P.*\",zone!=\"eu-west-1\"}"},
        {.name = "selector, many",
         .run = filter_body,
         .count = 80,
         .feed = FEED,
         .drop = "{handler=~\"/api/v1/.*[02468]\",pool!=\"none\"}"},
        {.name = "igzip", .run = igzip_body, .feed = FEED},
    };
    enum { CONTESTS = sizeof(contests) / sizeof(contests[0]) };
    struct ss_span body;

    if (argc < 2)
        return 2;
    body.ptr = read_file(argv[1], &body.len);
    if (argc > 2)
        content_type = argv[2];
    int rounds = argc > 3 ? atoi(argv[3]) : 300;
    if (rounds < 1 || rounds > MOST_ROUNDS)
        return 2;

    for (size_t c = 0; c < CONTESTS; c++)
        make_sharding(&contests[c]);
    bool composites = strstr(content_type, "protobuf") || strstr(content_type, "version=2");
    bool skipped[CONTESTS] = {false};
    for (size_t c = 0; c < CONTESTS; c++)
        skipped[c] = (c && !is_wanted(contests[c].name, argv + 4, argc - 4)) ||
                     (composites && !ss_sharding_takes_protobuf(contests[c].sharding)); /* not possible */
    for (int i = 0; i < rounds; i++) {
        for (size_t c = 0; c < CONTESTS; c++) {
            if (skipped[c])
                continue;
            double start = cpu_now();
            contests[c].kept = contests[c].run(body, &contests[c]);
            contests[c].seconds[i] = cpu_now() - start;
        }
    }

    printf("%-14s %9s %9s %9s %7s %9s %10s\n", "", "min ms", "median", "deviation", "GB/s", "of memchr", "kept");
    double floor = 0;
    for (size_t c = 0; c < CONTESTS; c++) {
        if (skipped[c])
            continue;
        double *s = contests[c].seconds, sum = 0, squares = 0;
        qsort(s, (size_t)rounds, sizeof(*s), by_value);
        for (int i = 0; i < rounds; i++) {
            sum += s[i];
            squares += s[i] * s[i];
        }
        double mean = sum / rounds, median = s[rounds / 2];
        if (!c)
            floor = median;
        printf("%-14s %9.3f %9.3f %9.3f %7.1f %8.2fx %10llu\n", contests[c].name, s[0] * 1e3, median * 1e3,
               sqrt(squares / rounds - mean * mean > 0 ? squares / rounds - mean * mean : 0) * 1e3,
               (double)body.len / median / 1e9, floor / median, (unsigned long long)contests[c].kept);
    }
    return 0;
}
