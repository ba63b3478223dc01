/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Seconds between lines of progress that are not rewritten. */
enum { PROGRESS_SECONDS = 10 };

static double
seconds_since(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

struct progress
progress_start(const char *what)
{
    struct progress p = {.what = what};
    clock_gettime(CLOCK_MONOTONIC, &p.started);
    p.updated = p.started;
    return p;
}

void
progress_update(struct progress *p, uint64_t done, uint64_t total)
{
    bool rewritten = isatty(STDERR_FILENO);
    if (seconds_since(&p->updated) < (!p->shown ? 1 : rewritten ? 0.1 : PROGRESS_SECONDS))
        return;
    char total_text[32] = "", line[160];
    if (total)
        snprintf(total_text, sizeof(total_text), " of %" PRIu64, total);
    snprintf(line, sizeof(line), "scrapeshard: %s: %" PRIu64 "%s, %.0f s", p->what, done, total_text,
             seconds_since(&p->started));
    if (rewritten) /* a wrapped line could not be erased */
        fprintf(stderr, "\r\033[K%.*s", (int)terminal_of(stderr).columns - 1, line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    p->shown = true;
    clock_gettime(CLOCK_MONOTONIC, &p->updated);
}

void
progress_end(struct progress *p)
{
    if (p->shown && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    p->shown = false;
}
