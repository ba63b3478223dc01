/* SPDX-License-Identifier: Apache-2.0 */
/* The memory reserve, used by several threads at once: libcurl looks up names in threads. */
#include "service/base/alloc_reserve.h"

#include <curl/curl.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { THREADS = 4, TURNS = 20000, HELD = 3 };

static pthread_barrier_t barrier;
static int names[THREADS];
static void *volatile taken; /* so that the compiler does not optimise the allocation away */

/* Allocates all that malloc(3) has. */
static void
exhaust(void)
{
    const struct rlimit none = {0, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    for (size_t size = 1 << 20; size; size /= 2)
        while ((taken = malloc(size)))
            ;
}

/* Allocates from the reserve and frees again; returns how many blocks had the wrong content. */
static void *
work(void *ctx)
{
    const int *name = ctx;
    uintptr_t wrong = 0;
    char text[32];
    snprintf(text, sizeof(text), "of thread %d", *name);
    pthread_barrier_wait(&barrier);
    for (int turn = 0; turn < TURNS; turn++) {
        struct curl_slist *held[HELD];
        for (int i = 0; i < HELD; i++)
            held[i] = curl_slist_append(NULL, text);
        for (int i = 0; i < HELD; i++) {
            wrong += !held[i] || strcmp(held[i]->data, text) != 0;
            curl_slist_free_all(held[i]);
        }
    }
    return (void *)wrong;
}

static void
test_threads(void **state)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    pthread_t threads[THREADS];
    uintptr_t wrong = 0;
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* it has an allocator of its own, which does not fail */
#endif
    assert_int_equal(alloc_reserve_install(), 0);
    mallopt(M_ARENA_MAX, 1);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++) {
        names[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &names[i]), 0);
    }
    exhaust();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++) {
        void *of_thread;
        pthread_join(threads[i], &of_thread);
        wrong += (uintptr_t)of_thread;
    }
    setrlimit(RLIMIT_AS, &all);
    assert_int_equal(wrong, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
