/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUFFER_H
#define CORE_BUFFER_H
/* Comparisons of spans, and a growing buffer. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <string.h>

/* Empty spans may have a NULL pointer, which memcmp() does not accept. */
static inline bool
spans_equal(struct ss_span a, struct ss_span b)
{
    return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

/* Less than, equal to or greater than 0, as memcmp(); a prefix sorts before what it begins. */
static inline int
spans_order(struct ss_span a, struct ss_span b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both ? memcmp(a.ptr, b.ptr, both) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Zeroed is empty; free with buffer_deinit(). */
struct buffer {
    char *ptr;
    size_t len, capacity;
};

static inline struct ss_span
buffer_span(const struct buffer *bytes)
{
    return (struct ss_span){bytes->ptr, bytes->len};
}

/* Makes room for len more bytes. 0, or -ENOMEM without any change. */
int buffer_reserve(struct buffer *bytes, size_t len);

/* Appends; there must be room. Most spans are short: up to 16 bytes are copied as two overlapping halves, which
   saves a call. */
static inline void
buffer_put(struct buffer *bytes, struct ss_span added)
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

/* Appends. 0, or -ENOMEM without any change. */
int buffer_add(struct buffer *bytes, struct ss_span added);

/* Frees the memory; the buffer is empty afterwards. */
void buffer_deinit(struct buffer *bytes);

#endif
