/* SPDX-License-Identifier: Apache-2.0 */
#include "summary.h"

enum {
    /* Lines of a kind per minute. */
    LINES_MAX = 10,
    /* Each shard has one first scrape, and all of them come at once. */
    LINES_FIRST_MAX = 100,
};

void
summary_scrape(struct summary *s, bool ok, double seconds, uint64_t bytes_in, uint64_t bytes_out)
{
    s->scrapes++;
    s->failures += !ok;
    s->bytes_in += bytes_in;
    s->bytes_out += bytes_out;
    s->seconds += seconds;
    if (seconds > s->slowest)
        s->slowest = seconds;
}

bool
summary_admit(struct summary *s, size_t kind, uint64_t *suppressedp)
{
    unsigned max = kind == SUMMARY_FIRST ? LINES_FIRST_MAX : LINES_MAX;
    if (s->of[kind].lines == max) {
        s->of[kind].suppressed++;
        s->suppressed++;
        return false;
    }
    s->of[kind].lines++;
    *suppressedp = s->of[kind].suppressed;
    s->of[kind].suppressed = 0;
    return true;
}

void
summary_reset(struct summary *s)
{
    s->scrapes = s->failures = s->bytes_in = s->bytes_out = s->suppressed = 0;
    s->seconds = s->slowest = 0;
    for (size_t i = 0; i < SUMMARY_KINDS; i++)
        s->of[i].lines = 0;
}
