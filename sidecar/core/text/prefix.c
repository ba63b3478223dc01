/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix.h"

void
prefix_set(struct prefix *prefix, struct ss_span bytes)
{
    prefix->len = bytes.len;
    memcpy(prefix->bytes, bytes.ptr, bytes.len);
    if (bytes.len < PREFIX_WORD)
        return;
    size_t half = bytes.len < 16 ? 0 : 8;
    size_t offsets[4] = {0, half, bytes.len - 8 - half, bytes.len - 8};
    for (size_t i = 0; i < 4; i++) {
        prefix->offsets[i] = offsets[i];
        memcpy(&prefix->words[i], prefix->bytes + offsets[i], sizeof(uint64_t));
    }
}
