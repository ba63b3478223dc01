/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H
/* Bytes that grow. Zeroed is empty; to be freed with bytes_deinit(). */
#include <scrapeshard/span.h>

struct bytes {
    char *ptr;
    size_t len, capacity;
};

/* Appends. 0 or -ENOMEM, and then nothing has changed. */
int bytes_add(struct bytes *bytes, struct ss_span added);

void bytes_deinit(struct bytes *bytes);

#endif
