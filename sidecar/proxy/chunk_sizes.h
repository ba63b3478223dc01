/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_CHUNK_SIZES_H
#define PROXY_CHUNK_SIZES_H
/*
 * The sizes of a chunked body, as they come in. libcurl decodes the chunks but skips whatever follows the digits of a
 * size: to it 0x1f is a last chunk, and the body ends there. Here only what may follow a size does.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

enum chunk_place {
    CHUNK_SIZE,
    CHUNK_BLANKS, /* after the size */
    CHUNK_EXTENSION,
    CHUNK_DATA,
    CHUNK_END, /* before the next size */
    CHUNKS_OVER,
    CHUNKS_INVALID, /* a size is */
};

/* Zeroed: before the first chunk. */
struct chunk_sizes {
    enum chunk_place place;
    bool has_digits;
    uint64_t left; /* of the chunk's bytes */
};

/* Takes the next bytes of the body. What the chunks hold is not looked at, nor what follows the last one's size. */
void chunk_sizes_take(struct chunk_sizes *sizes, struct ss_span bytes);

#endif
