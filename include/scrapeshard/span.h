/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_SPAN_H
#define SCRAPESHARD_SPAN_H
/*
 * A span borrows bytes; it never owns them. The function that returns one says where the bytes are borrowed from and
 * until when.
 */
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ss_span {
    const char *ptr;
    size_t len;
};

/*
 * Receives what a stage keeps.
 *
 * take() gets n >= 1 spans in the order of the body; they live until take() returns. It returns 0 to continue, or a
 * negative errno value, which stops the work and is returned unchanged to the caller of the stage.
 */
struct ss_sink {
    int (*take)(void *ctx, const struct ss_span *spans, size_t n);
    void *ctx;
};

#ifdef __cplusplus
}
#endif
#endif
