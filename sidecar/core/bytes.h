/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H
/* Bytes that grow. Zeroed is empty; to be freed with bytes_deinit(). */
#include <scrapeshard/span.h>

#include <string.h>

struct bytes {
    char *ptr;
    size_t len, capacity;
};

/* Makes room for len bytes more. 0 or -ENOMEM, and then nothing has changed. */
int bytes_reserve(struct bytes *bytes, size_t len);

/* Appends where there is room. Most are short: of up to 16 bytes the halves overlap, which spares a call. */
static inline void
bytes_put(struct bytes *bytes, struct ss_span added)
{
    const char *from = added.ptr;
    size_t len = added.len;

    if (!len)
        return;
    char *to = bytes->ptr + bytes->len;
    bytes->len += len;
    if (len > 16) {
        memcpy(to, from, len);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else {
        while (len--)
            *to++ = *from++;
    }
}

/* Appends. 0 or -ENOMEM, and then nothing has changed. */
int bytes_add(struct bytes *bytes, struct ss_span added);

void bytes_deinit(struct bytes *bytes);

#endif
