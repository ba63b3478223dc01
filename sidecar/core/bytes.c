/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
bytes_add(struct bytes *b, struct ss_span added)
{
    if (b->capacity - b->len < added.len) {
        size_t capacity = b->capacity ? b->capacity : 512;
        while (capacity - b->len < added.len)
            capacity *= 2;
        char *grown = realloc(b->ptr, capacity);
        if (!grown)
            return -ENOMEM;
        b->ptr = grown;
        b->capacity = capacity;
    }
    if (added.len)
        memcpy(b->ptr + b->len, added.ptr, added.len);
    b->len += added.len;
    return 0;
}

void
bytes_deinit(struct bytes *b)
{
    free(b->ptr);
}
