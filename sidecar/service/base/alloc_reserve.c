/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_reserve.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* What libevent and libcurl crash without is smaller. Pages that were never used cost nothing. */
    BLOCK_BYTES = 1024,
    /* A connection and its scrape take up to about 60. */
    BLOCKS = 128,
    /* libevent reads a head into blocks of 4 KiB, over TLS of 32 KiB and a little more. Larger ones have pieces of
       bodies in them, and are given back as they are. */
    WIPED_MAX = 33 * 1024,
};

union block {
    union block *next; /* while it is free, and was used before */
    alignas(max_align_t) char bytes[BLOCK_BYTES];
};

/* A libcurl may have threads of its own. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the reserve */
static union block blocks[BLOCKS];
static union block *given_back;
static size_t untouched; /* the first of those never used */
static uint64_t failures, failures_of_curl;

static bool
is_in_reserve(const void *p)
{
    return (const union block *)p >= blocks && (const union block *)p < blocks + BLOCKS;
}

static void *
take(size_t size)
{
    void *p = malloc(size);
    union block *block = NULL;
    if (p || size > BLOCK_BYTES)
        return p;
    pthread_mutex_lock(&mutex);
    if (given_back) {
        block = given_back;
        given_back = block->next;
    } else if (untouched < BLOCKS) {
        block = &blocks[untouched++];
    }
    pthread_mutex_unlock(&mutex);
    return block;
}

static void
wipe_and_free(void *p)
{
    size_t size = malloc_usable_size(p); /* none of NULL */
    if (size && size <= WIPED_MAX)
        explicit_bzero(p, size);
    free(p);
}

static void
give(void *p)
{
    union block *block = p;
    if (!is_in_reserve(p)) {
        wipe_and_free(p);
        return;
    }
    explicit_bzero(block, sizeof(*block));
    pthread_mutex_lock(&mutex);
    block->next = given_back;
    given_back = block;
    pthread_mutex_unlock(&mutex);
}

static void *
reserve_realloc(void *old, size_t size)
{
    if (!old)
        return take(size);
    size_t had = is_in_reserve(old) ? BLOCK_BYTES : malloc_usable_size(old);
    if (had > WIPED_MAX)
        return realloc(old, size);
    if (size <= had && (is_in_reserve(old) || size >= had / 2))
        return old;
    /* realloc(3) would leave a copy behind. */
    void *p = malloc(size);
    if (!p)
        return size <= had ? old : NULL;
    memcpy(p, old, size < had ? size : had);
    give(old);
    return p;
}

static void *
reserve_calloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p && (!size || n <= BLOCK_BYTES / size) && (p = take(n * size)) != NULL)
        memset(p, 0, n * size);
    return p;
}

static char *
reserve_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *p = take(size);
    return p ? memcpy(p, text, size) : NULL;
}

/* What is not to be had is counted. */

static void *
counted(void *p, uint64_t *n)
{
    if (!p)
        __atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
    return p;
}

static void *
event_malloc(size_t size)
{
    return counted(take(size), &failures);
}

static void *
event_realloc(void *old, size_t size)
{
    return counted(reserve_realloc(old, size), &failures);
}

static void *
curl_malloc(size_t size)
{
    return counted(take(size), &failures_of_curl);
}

static void *
curl_realloc(void *old, size_t size)
{
    return counted(reserve_realloc(old, size), &failures_of_curl);
}

static char *
curl_strdup(const char *text)
{
    return counted(reserve_strdup(text), &failures_of_curl);
}

static void *
curl_calloc(size_t n, size_t size)
{
    return counted(reserve_calloc(n, size), &failures_of_curl);
}

int
alloc_reserve_install(void)
{
    event_set_mem_functions(event_malloc, event_realloc, give);
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, give, curl_realloc, curl_strdup, curl_calloc)
               ? -ENOMEM
               : 0;
}

uint64_t
alloc_failures(void)
{
    return failures;
}

uint64_t
alloc_failures_of_curl(void)
{
    return __atomic_load_n(&failures_of_curl, __ATOMIC_RELAXED);
}
