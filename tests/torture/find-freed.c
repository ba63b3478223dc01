/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks for texts in memory that is given back, for tests/e2e/test_wiped.py: preloaded (LD_PRELOAD), it stands in front
 * of glibc's free() and realloc(). Which texts, and how often each was found, stands in a file that both sides map,
 * named by FIND_FREED and as long as struct control. Without FIND_FREED it only hands on.
 */
#include "map.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum { TEXTS = 8 };

struct control {
    struct {
        char text[120]; /* empty: none */
        atomic_llong found;
    } texts[TEXTS];
};

void *__libc_malloc(size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *p);

static struct control *control;

__attribute__((constructor)) static void
begin(void)
{
    control = map_file("FIND_FREED", sizeof(*control));
}

static void
look_through(void *p)
{
    if (!control || !p)
        return;
    size_t size = malloc_usable_size(p);
    for (int i = 0; i < TEXTS && *control->texts[i].text; i++)
        if (memmem(p, size, control->texts[i].text, strnlen(control->texts[i].text, sizeof(control->texts[i].text))))
            atomic_fetch_add(&control->texts[i].found, 1);
}

void
free(void *p)
{
    look_through(p);
    __libc_free(p);
}

/* Always moves, so that what stays behind is seen. */
void *
realloc(void *old, size_t size)
{
    if (!control || !old || !size)
        return __libc_realloc(old, size);
    void *p = __libc_malloc(size);
    if (!p)
        return NULL;
    size_t had = malloc_usable_size(old);
    memcpy(p, old, had < size ? had : size);
    free(old);
    return p;
}
