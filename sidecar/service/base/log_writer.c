/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two buffers in turn: one is filled by who logs while the thread writes the other, line by line, without the mutex.
 *
 * A line is one write(2), and not longer than PIPE_BUF, so that a pipe takes it whole or not yet: it is not mixed with
 * lines of others who write to the same pipe.
 */
#include "log_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Of each buffer: some hundred lines. Pages that were never needed take no memory. */
    ROOM = 64 * 1024,
    /* Of the thread, which is not to get a huge page for it. */
    STACK = 128 * 1024,
};

struct log_writer {
    pthread_t thread;
    bool torn; /* the last line was written in part; the thread's alone */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    char *filling;
    size_t len;
    enum log_format format;
    uint64_t lost;    /* lines that had no room behind those in filling */
    uint64_t dropped; /* lines of all times that had no room, or could not be written */
    bool stop, over;

    char buffers[2][ROOM];
};

/* The thread. */

/* False: it cannot be written, perhaps only in part. */
static bool
write_bytes(struct log_writer *w, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(STDERR_FILENO, bytes + done, len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) { /* somebody who shares it has made it so */
            struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    w->torn |= done && done < len;
    return done == len;
}

static bool
write_line(struct log_writer *w, const char *line, size_t len)
{
    if (w->torn && write_bytes(w, "\n", 1))
        w->torn = false;
    return !w->torn && write_bytes(w, line, len);
}

/* How many lines could not be written. */
static uint64_t
write_lines(struct log_writer *w, const char *bytes, size_t len)
{
    uint64_t failed = 0;
    while (len) {
        size_t n = (size_t)((const char *)memchr(bytes, '\n', len) - bytes) + 1;
        failed += !write_line(w, bytes, n);
        bytes += n;
        len -= n;
    }
    return failed;
}

static bool
write_loss(struct log_writer *w, uint64_t lines, enum log_format format)
{
    static const char message[] =
        "lines of the log were dropped: its reader did not keep up, or it could not be written";
    struct log_field field = log_number("lines", (double)lines);
    char line[LOG_LINE_MAX];
    return write_line(w, line, log_compose(line, format, LOG_WARN, message, &field, 1));
}

static void *
work(void *ctx)
{
    struct log_writer *w = ctx;
    uint64_t untold = 0; /* lines lost that no line has told of */

    pthread_mutex_lock(&w->mutex);
    while (w->len || !w->stop) {
        if (!w->len) {
            pthread_cond_wait(&w->changed, &w->mutex);
            continue;
        }
        const char *bytes = w->filling;
        size_t len = w->len;
        enum log_format format = w->format;
        untold += w->lost;
        w->filling = w->buffers[w->filling == w->buffers[0]];
        w->len = w->lost = 0;
        pthread_mutex_unlock(&w->mutex);
        uint64_t failed = write_lines(w, bytes, len);
        untold += failed;
        if (untold && write_loss(w, untold, format))
            untold = 0;
        pthread_mutex_lock(&w->mutex);
        w->dropped += failed;
    }
    w->over = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* The program. */

void
log_writer_put(struct log_writer *w, const char *line, size_t len, enum log_format format)
{
    pthread_mutex_lock(&w->mutex);
    w->format = format;
    /* Once a line is lost, so are those that follow, short ones too: what was lost is in one place. */
    if (w->lost || len > ROOM - w->len) {
        w->lost++;
        w->dropped++;
    } else {
        memcpy(w->filling + w->len, line, len);
        w->len += len;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
}

uint64_t
log_writer_dropped(struct log_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    uint64_t dropped = w->dropped;
    pthread_mutex_unlock(&w->mutex);
    return dropped;
}

/* Signals are for the event loop. */
static int
start_thread(struct log_writer *w)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int r = -pthread_create(&w->thread, &attributes, work, w);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

static void
destroy(struct log_writer *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

int
log_writer_new(struct log_writer **writerp)
{
    pthread_condattr_t attributes;
    struct log_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    w->filling = w->buffers[0];
    int r = start_thread(w);
    if (r)
        destroy(w);
    else
        *writerp = w;
    return r;
}

void
log_writer_free(struct log_writer *w, int64_t most)
{
    struct timespec until;
    if (!w)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + most % 1000 * 1000000;
    until.tv_sec += most / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;

    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_cond_signal(&w->changed);
    while (!w->over && pthread_cond_timedwait(&w->changed, &w->mutex, &until) != ETIMEDOUT)
        ;
    bool over = w->over;
    pthread_mutex_unlock(&w->mutex);
    if (over) {
        pthread_join(w->thread, NULL);
        destroy(w);
    } else {
        pthread_detach(w->thread); /* it waits for a reader, with the writer's memory; the program's end is its own */
    }
}
