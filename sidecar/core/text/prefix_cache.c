/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix_cache.h"

const struct head *
heads_remember(struct heads *heads, struct ss_span beginning, struct ss_span name, const struct fate *fate)
{
    if (beginning.len > LIMIT_HEAD)
        return NULL;
    struct head *head = &heads->items[heads->oldest];
    heads->oldest = (heads->oldest + 1) % LIMIT_HEADS;
    head->len = beginning.len;
    head->fate = *fate;
    memcpy(head->bytes, beginning.ptr, beginning.len);
    head->name = (struct ss_span){head->bytes + (name.ptr - beginning.ptr), name.len};
    char last = beginning.ptr[beginning.len - 1];
    head->labels = last == '{' || last == ',' ? beginning.len : 0;
    if (beginning.len < HEAD_WORD)
        return head;
    size_t half = beginning.len < 16 ? 0 : 8;
    size_t places[4] = {0, half, beginning.len - 8 - half, beginning.len - 8};
    for (size_t i = 0; i < 4; i++) {
        head->places[i] = places[i];
        memcpy(&head->words[i], head->bytes + places[i], sizeof(uint64_t));
    }
    return head;
}

const struct head *
heads_recall(const struct heads *heads, struct ss_span line)
{
    for (size_t i = 0; i < LIMIT_HEADS; i++)
        if (head_begins(line, &heads->items[i]))
            return &heads->items[i];
    return NULL;
}

void
heads_clear(struct heads *heads)
{
    for (size_t i = 0; i < LIMIT_HEADS; i++)
        heads->items[i].len = 0;
}
