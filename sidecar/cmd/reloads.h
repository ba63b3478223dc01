/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_RELOADS_H
#define CMD_RELOADS_H
/*
 * When the configuration is read again:
 *
 *     by SIGHUP               at once, but for a tenth of a second behind the last reload; of many, the last counts
 *     by a request            five at once and one a second; the others are refused: anybody may ask who reaches the
 *                             listener
 *     by a file that changes  file_watch.h
 */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct config;
struct event;
struct event_base;
struct file_watch;
struct log;
struct string_list;

struct reloads {
    void (*reload)(void *ctx); /* reads it again */
    void *ctx;
    const struct log *log;
    struct event *due;          /* of a SIGHUP that waits */
    struct file_watch *tracker; /* NULL: no file is watched */
    struct event_base *base;
    struct timespec begun; /* the last reading, by CLOCK_REALTIME_COARSE */
    int64_t over;          /* when the last reload was over, in milliseconds of the monotonic clock */
    int64_t spent;         /* up to when requests have spent their reloads; before now: all are there */
};

/* 0: the reloads, which were zeroed, are the caller's; reload() is called for SIGHUP and for files. Borrows log.
 * -ENOMEM. */
int reloads_init(struct reloads *reloads, struct event_base *base, const struct log *log, void (*reload)(void *ctx),
                 void *ctx);

/* A zeroed one is fine. */
void reloads_deinit(struct reloads *reloads);

/* SIGHUP has come: reload() follows, perhaps at once. */
void reloads_hang_up(struct reloads *reloads);

/* A request asks for a reload. 0: it may have it, and that is counted; or in how many seconds it may ask again. */
unsigned reloads_ask(struct reloads *reloads);

/* Whoever reads the configuration calls the one before, also before reloads_init(), and the other behind it, with the
   names of its files, which are watched if `watches`. */
void reloads_begin(struct reloads *reloads);
void reloads_end(struct reloads *reloads, const struct string_list *files, bool watches);

#endif
