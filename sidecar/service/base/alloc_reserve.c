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
    /* The allocations that must not fail are smaller. Pages that were never touched cost nothing. */
    BLOCK_BYTES = 1024,
    /* A connection and its scrape take up to about 60. */
    BLOCKS = 128,
    /* libevent reads a request's header into blocks of 4 KiB, over TLS of a little more than 32 KiB. Larger blocks hold
       pieces of bodies, and are not wiped. */
    WIPED_MAX = 33 * 1024,
};

union block {
    union block *next; /* in free_list */
    alignas(max_align_t) char bytes[BLOCK_BYTES];
};

/* libcurl may have its own threads. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the reserve */
static union block blocks[BLOCKS];
static union block *free_list;
static size_t n_used; /* blocks that were ever used */
static uint64_t failures, curl_failures;

static bool
is_in_reserve(const void *p)
{
    return (const union block *)p >= blocks && (const union block *)p < blocks + BLOCKS;
}

static void *
reserve_malloc(size_t size)
{
    void *p = malloc(size);
    union block *block = NULL;
    if (p || size > BLOCK_BYTES)
        return p;
    pthread_mutex_lock(&mutex);
    if (free_list) {
        block = free_list;
        free_list = block->next;
    } else if (n_used < BLOCKS) {
        block = &blocks[n_used++];
    }
    pthread_mutex_unlock(&mutex);
    return block;
}

static void
wipe_and_free(void *p)
{
    size_t size = malloc_usable_size(p); /* 0 for NULL */
    if (size && size <= WIPED_MAX)
        explicit_bzero(p, size);
    free(p);
}

static void
reserve_free(void *p)
{
    union block *block = p;
    if (!is_in_reserve(p)) {
        wipe_and_free(p);
        return;
    }
    explicit_bzero(block, sizeof(*block));
    pthread_mutex_lock(&mutex);
    block->next = free_list;
    free_list = block;
    pthread_mutex_unlock(&mutex);
}

static void *
reserve_realloc(void *old, size_t size)
{
    if (!old)
        return reserve_malloc(size);
    size_t had = is_in_reserve(old) ? BLOCK_BYTES : malloc_usable_size(old);
    if (had > WIPED_MAX)
        return realloc(old, size);
    if (size <= had && (is_in_reserve(old) || size >= had / 2))
        return old;
    /* realloc(3) would leave a copy unwiped. */
    void *p = malloc(size);
    if (!p)
        return size <= had ? old : NULL;
    memcpy(p, old, size < had ? size : had);
    reserve_free(old);
    return p;
}

static void *
reserve_calloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p && (!size || n <= BLOCK_BYTES / size) && (p = reserve_malloc(n * size)) != NULL)
        memset(p, 0, n * size);
    return p;
}

static char *
reserve_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *p = reserve_malloc(size);
    return p ? memcpy(p, text, size) : NULL;
}

/* Failures are counted. */

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
    return counted(reserve_malloc(size), &failures);
}

static void *
event_realloc(void *old, size_t size)
{
    return counted(reserve_realloc(old, size), &failures);
}

static void *
curl_malloc(size_t size)
{
    return counted(reserve_malloc(size), &curl_failures);
}

static void *
curl_realloc(void *old, size_t size)
{
    return counted(reserve_realloc(old, size), &curl_failures);
}

static char *
curl_strdup(const char *text)
{
    return counted(reserve_strdup(text), &curl_failures);
}

static void *
curl_calloc(size_t n, size_t size)
{
    return counted(reserve_calloc(n, size), &curl_failures);
}

int
alloc_reserve_install(void)
{
    event_set_mem_functions(event_malloc, event_realloc, reserve_free);
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, reserve_free, curl_realloc, curl_strdup, curl_calloc)
               ? -ENOMEM
               : 0;
}

void *
alloc_reserve_calloc(size_t size)
{
    return counted(reserve_calloc(1, size), &failures);
}

void
alloc_reserve_free(void *block)
{
    reserve_free(block);
}

uint64_t
alloc_failures(void)
{
    return failures;
}

uint64_t
alloc_failures_of_curl(void)
{
    return __atomic_load_n(&curl_failures, __ATOMIC_RELAXED);
}
