/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_RELOADS_H
#define CMD_RELOADS_H
/*
 * When the configuration is read again:
 *
 *     SIGHUP         at once, but at least 0.1 s after the last reload; signals that arrive meanwhile count as one
 *     request        one a second, in bursts of up to five; others are refused, as anyone who reaches the listener may
 *                    send one
 *     changed file   file_watch.h
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
    struct event *pending;    /* a SIGHUP that waits */
    struct file_watch *watch; /* NULL: no file is watched */
    struct event_base *base;
    struct timespec started; /* the last reload, by CLOCK_REALTIME_COARSE */
    int64_t ended;           /* the last reload, in milliseconds of the monotonic clock */
    int64_t spent_until;     /* of the burst of requests, by the same clock; in the past: none of it is spent */
};

/* 0: *reloads, zeroed before, is ready; reload() is called for SIGHUP and changed files. Borrows log. -ENOMEM. */
int reloads_init(struct reloads *reloads, struct event_base *base, const struct log *log, void (*reload)(void *ctx),
                 void *ctx);

/* A zeroed one is fine. */
void reloads_deinit(struct reloads *reloads);

/* After SIGHUP: calls reload(), now or soon. */
void reloads_on_sighup(struct reloads *reloads);

/* A request for a reload. 0: admitted, and counted; else in how many seconds to retry. */
unsigned reloads_admit_request(struct reloads *reloads);

/* Called before and after the configuration is read; reloads_begin() also before reloads_init(). `files` are its files,
   which are watched if `watch`. */
void reloads_begin(struct reloads *reloads);
void reloads_end(struct reloads *reloads, const struct string_list *files, bool watch);

#endif
