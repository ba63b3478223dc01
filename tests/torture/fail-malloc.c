/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes allocations fail, for tests/e2e/test_memory.py: preloaded (LD_PRELOAD) it stands in front of glibc's malloc and
 * its kin, strdup and the like included, for they call these.
 *
 * It is steered by a file that both sides map, named by FAIL_MALLOC and as long as struct control: at any time, without
 * a signal. Without FAIL_MALLOC it only hands on. What is allocated before its constructor runs, just ahead of main(),
 * is not counted.
 */
#include "map.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct control {
    atomic_llong at;    /* which allocation fails, the first being 1; 0: none, and nothing is counted */
    atomic_llong all;   /* whether all behind it fail too */
    atomic_llong count; /* allocations so far; the tester sets it to 0 */
    atomic_llong failed;
    atomic_llong live; /* blocks that are allocated, whether or not something is to fail */
    char where[224];   /* who asked for the first that failed: "/usr/lib/libx.so+0x1234" */
    atomic_llong size; /* size in bytes of the allocations that fail or are counted; 0: any */
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static struct control *control;

__attribute__((constructor)) static void
begin(void)
{
    control = map_file("FAIL_MALLOC", sizeof(*control));
}

static void
tell_where(const void *caller)
{
    Dl_info info;
    if (!dladdr(caller, &info) || !info.dli_fname)
        return;
    /* No snprintf: it may allocate. */
    uintptr_t offset = (uintptr_t)caller - (uintptr_t)info.dli_fbase;
    size_t len = strnlen(info.dli_fname, sizeof(control->where) - 20);
    char *to = mempcpy(control->where, info.dli_fname, len);
    to = mempcpy(to, "+0x", 3);
    for (int shift = 60; shift >= 0; shift -= 4)
        if (offset >> shift || !shift)
            *to++ = "0123456789abcdef"[offset >> shift & 15];
    *to = 0;
}

/* Whether this allocation is to fail. */
static bool
fails(size_t size, const void *caller)
{
    long long at = control ? atomic_load(&control->at) : 0;
    if (!at)
        return false;
    long long only = atomic_load(&control->size);
    if (only && (size_t)only != size)
        return false;
    long long n = atomic_fetch_add(&control->count, 1) + 1;
    if (n < at || (n > at && !atomic_load(&control->all)))
        return false;
    if (!atomic_fetch_add(&control->failed, 1))
        tell_where(caller);
    errno = ENOMEM;
    return true;
}

#define FAILS(size) fails(size, __builtin_return_address(0))

static void *
live(void *p, int n)
{
    if (p && control)
        atomic_fetch_add(&control->live, n);
    return p;
}

void *
malloc(size_t size)
{
    return FAILS(size) ? NULL : live(__libc_malloc(size), 1);
}

void *
calloc(size_t n, size_t size)
{
    return FAILS(n * size) ? NULL : live(__libc_calloc(n, size), 1);
}

void *
realloc(void *old, size_t size)
{
    return FAILS(size) ? NULL : live(__libc_realloc(old, size), !old);
}

void *
memalign(size_t alignment, size_t size)
{
    return FAILS(size) ? NULL : live(__libc_memalign(alignment, size), 1);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return FAILS(size) ? NULL : live(__libc_memalign(alignment, size), 1);
}

int
posix_memalign(void **p, size_t alignment, size_t size)
{
    void *new = FAILS(size) ? NULL : live(__libc_memalign(alignment, size), 1);
    if (!new)
        return ENOMEM;
    *p = new;
    return 0;
}

void
free(void *p)
{
    __libc_free(live(p, -1));
}
