/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <errno.h>
#include <stdlib.h>

int
buffer_reserve(struct buffer *b, size_t len)
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
buffer_add(struct buffer *b, struct ss_span added)
{
    int r = buffer_reserve(b, added.len);
    if (!r)
        buffer_put(b, added);
    return r;
}

void
buffer_deinit(struct buffer *b)
{
    free(b->ptr);
    *b = (struct buffer){NULL, 0, 0};
}
