/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include "gzip.h"

#include "service/config/config.h"

#include <scrapeshard/index.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* The memory of larger bodies goes back to the system at once; the allocator would keep some of it. */
    TRIM_MIN = 1024 * 1024,
};

/* The pool. */

void
snapshot_pool_init(struct snapshot_pool *pool)
{
    *pool = (struct snapshot_pool){.gzip = NULL};
    TAILQ_INIT(&pool->all);
}

void
snapshot_pool_deinit(struct snapshot_pool *pool)
{
    struct snapshot *s;
    /* libevent frees the buffers that reference them with the base, after the pool. */
    while ((s = TAILQ_FIRST(&pool->all)) != NULL) {
        TAILQ_REMOVE(&pool->all, s, next);
        s->pool = NULL;
    }
    snapshot_pool_trim(pool);
}

void
snapshot_pool_trim(struct snapshot_pool *pool)
{
    gzip_free(pool->gzip);
    pool->gzip = NULL;
}

/* Memory. */

bool
snapshot_set_memory(struct snapshot *s, uint64_t bytes)
{
    if (s->pool)
        s->pool->bytes += bytes - s->bytes;
    s->bytes = bytes;
    if (bytes > s->peak_bytes)
        s->peak_bytes = bytes;
    return snapshot_has_room(s, 0);
}

bool
snapshot_has_room(const struct snapshot *s, uint64_t bytes)
{
    return s->pool && bytes <= s->config->max_snapshot_bytes && s->pool->bytes <= s->config->max_snapshot_bytes - bytes;
}

/* Life. */

int
snapshot_new(struct snapshot **snapshotp, struct snapshot_pool *pool, struct config *config,
             const struct endpoint *endpoint)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->pool = pool;
    s->references = 1;
    s->config = config_ref(config);
    s->endpoint = endpoint;
    TAILQ_INIT(&s->headers);
    TAILQ_INIT(&s->gzips);
    TAILQ_INSERT_TAIL(&pool->all, s, next);
    pool->count++;
    snapshot_set_memory(s, sizeof(*s));
    *snapshotp = s;
    return 0;
}

struct snapshot *
snapshot_ref(struct snapshot *s)
{
    s->references++;
    return s;
}

static void
free_gzips(struct snapshot *s)
{
    struct kept_gzip *kept;
    while ((kept = TAILQ_FIRST(&s->gzips)) != NULL) {
        TAILQ_REMOVE(&s->gzips, kept, next);
        free(kept->shard);
        free(kept);
    }
}

void
snapshot_unref(struct snapshot *s)
{
    if (--s->references)
        return;
    bool large = s->peak_bytes >= TRIM_MIN;
    snapshot_set_memory(s, 0);
    if (s->pool) {
        TAILQ_REMOVE(&s->pool->all, s, next);
        s->pool->count--;
    }
    free_gzips(s);
    ss_index_free(s->index);
    if (s->passthrough_body)
        evbuffer_free(s->passthrough_body);
    evhttp_clear_headers(&s->headers);
    config_unref(s->config);
    free(s);
    if (large)
        malloc_trim(0);
}

/* Time. */

void
snapshot_start(struct snapshot *s)
{
    clock_gettime(CLOCK_MONOTONIC, &s->started);
    clock_gettime(CLOCK_REALTIME, &s->time);
    s->is_started = true;
}

double
snapshot_age(const struct snapshot *s)
{
    struct timespec now;
    if (!s->is_started)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - s->started.tv_sec) + (double)(now.tv_nsec - s->started.tv_nsec) / 1e9;
}

int
snapshot_set_time_header(struct snapshot *s)
{
    char time[40];
    struct tm tm;
    size_t n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s->time.tv_sec, &tm));
    snprintf(time + n, sizeof(time) - n, ".%03dZ", (int)(s->time.tv_nsec / 1000000));
    while (!evhttp_remove_header(&s->headers, "Age") || !evhttp_remove_header(&s->headers, "Scrapeshard-Snapshot"))
        ;
    return evhttp_add_header(&s->headers, "Scrapeshard-Snapshot", time) ? -ENOMEM : 0;
}
