/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_pool.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <time.h>

enum { VERIFIED_SECONDS = 3600 };

/* Owned by the settings. */
struct tls_pool {
    struct tls_pools *pools; /* NULL: they have gone */
    TAILQ_ENTRY(tls_pool) next;
    CURLSH *share;
    CURLSH *last;     /* the one before, which transfers use still; or NULL */
    time_t made;      /* the share, by the monotonic clock */
    bool has_session; /* perhaps: there was a connection */
    bool stopped_resuming;
};

static time_t
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void
detach(struct tls_pools *pools, struct tls_pool *pool)
{
    TAILQ_REMOVE(&pools->list, pool, next);
    pool->pools = NULL;
    curl_share_cleanup(pool->share);
    curl_share_cleanup(pool->last);
    pool->share = pool->last = NULL;
}

static void
on_settings_freed(void *settings, void *data, CRYPTO_EX_DATA *ex, int index, long argl, void *argp)
{
    struct tls_pool *pool = data;
    (void)settings, (void)ex, (void)index, (void)argl, (void)argp;
    if (pool && pool->pools)
        detach(pool->pools, pool);
    free(pool);
}

/* The index of the pool of settings; negative: out of memory. */
static int
pool_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_settings_freed);
    return index;
}

static struct tls_pool *
pool_of(const SSL_CTX *settings)
{
    return pool_index() < 0 ? NULL : SSL_CTX_get_ex_data(settings, pool_index());
}

static struct tls_pool *
pool_new(SSL_CTX *settings)
{
    struct tls_pool *pool = pool_index() < 0 ? NULL : calloc(1, sizeof(*pool));
    if (pool && !SSL_CTX_set_ex_data(settings, pool_index(), pool)) {
        free(pool);
        return NULL;
    }
    return pool;
}

static CURLSH *
share_new(void)
{
    CURLSH *share = curl_share_init();
    if (share && (curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) ||
                  curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION))) {
        curl_share_cleanup(share);
        return NULL;
    }
    return share;
}

CURLSH *
tls_pool_share(struct tls_pools *pools, SSL_CTX *settings)
{
    struct tls_pool *pool = pool_of(settings);
    if (!pool)
        pool = pool_new(settings);
    if (!pool)
        return NULL;
    if (!pool->pools) {
        pool->pools = pools;
        TAILQ_INSERT_HEAD(&pools->list, pool, next);
    }
    if (pool->share && !pool->last && now() - pool->made >= VERIFIED_SECONDS) {
        pool->last = pool->share;
        pool->share = NULL;
    }
    if (pool->last && !curl_share_cleanup(pool->last))
        pool->last = NULL;
    if (!pool->share) {
        pool->share = share_new();
        pool->made = now();
        pool->has_session = pool->stopped_resuming = false;
    }
    return pool->share;
}

bool
tls_pool_resumes(const SSL_CTX *settings)
{
    const struct tls_pool *pool = pool_of(settings);
    return pool && !pool->stopped_resuming;
}

bool
tls_pool_has_session(const SSL_CTX *settings)
{
    const struct tls_pool *pool = pool_of(settings);
    return pool && pool->has_session;
}

void
tls_pool_connected(const SSL_CTX *settings, bool failed_before)
{
    struct tls_pool *pool = pool_of(settings);
    if (!pool)
        return;
    pool->has_session = true;
    pool->stopped_resuming |= failed_before;
}

void
tls_pools_deinit(struct tls_pools *pools)
{
    struct tls_pool *pool;
    while ((pool = TAILQ_FIRST(&pools->list)) != NULL)
        detach(pools, pool);
}
