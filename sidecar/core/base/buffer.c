/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <errno.h>
#include <stdlib.h>

int
bytes_reserve(struct bytes *b, size_t len)
{
    if (b->capacity - b->len >= len)
        return 0;
    size_t capacity = b->capacity ? b->capacity : 512;
    while (capacity - b->len < len)
        capacity *= 2;
    char *grown = realloc(b->ptr, capacity);
    if (!grown)
        return -ENOMEM;
    b->ptr = grown;
    b->capacity = capacity;
    return 0;
}

int
bytes_add(struct bytes *b, struct ss_span added)
{
    int r = bytes_reserve(b, added.len);
    if (!r)
        bytes_put(b, added);
    return r;
}

void
bytes_deinit(struct bytes *b)
{
    free(b->ptr);
    *b = (struct bytes){NULL, 0, 0};
}
