/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_SPAN_H
#define SCRAPESHARD_SPAN_H
/*
 * A span borrows bytes; it never owns them. The function that hands one out says from whom the bytes are
 * borrowed and until when.
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
 * Where a stage puts what it lets through.
 *
 * take() gets n >= 1 spans in the order of the body; they live until take() returns. It answers 0 to go on, or a
 * negative errno value, which ends the work and travels unchanged to the caller of the stage.
 */
struct ss_sink {
    int (*take)(void *ctx, const struct ss_span *spans, size_t n);
    void *ctx;
};

#ifdef __cplusplus
}
#endif
#endif
