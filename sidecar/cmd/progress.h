/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H
/*
 * Progress on standard error of work that takes longer than a second: one line that is rewritten on a terminal, else a
 * line now and then.
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct progress {
    const char *what; /* "bytes read" */
    struct timespec started, updated;
    bool shown;
};

struct progress progress_start(const char *what);

/* total 0: unknown. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);

/* Erases the line. */
void progress_end(struct progress *progress);

#endif
