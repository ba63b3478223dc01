/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Double buffering: log_writer_put() fills one buffer while the thread writes the other, line by line, without the
 * mutex.
 *
 * A line is one write(2) of at most PIPE_BUF bytes, so a pipe takes it atomically: it is not mixed with lines of other
 * processes that write to the same pipe.
 */
#include "log_writer.h"

#include "thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Of each buffer: some hundred lines. Pages that were never touched take no memory. */
    BUFFER_BYTES = 64 * 1024,
    /* Of the thread; small, so that it gets no huge page. */
    STACK_BYTES = 128 * 1024,
};

struct log_writer {
    pthread_t thread;
    bool has_thread;
    bool partial; /* the last line was written in part; used by the thread alone */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    char *filling;
    size_t len;
    enum log_format format;
    uint64_t lost;    /* lines for which `filling` had no room */
    uint64_t dropped; /* all lines so far that had no room or could not be written */
    bool stop, finished;

    char buffers[2][BUFFER_BYTES];
};

/* The thread. */

/* False: nothing, or only a part, could be written. */
static bool
write_bytes(struct log_writer *w, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(STDERR_FILENO, bytes + done, len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) { /* another process that shares it made it non-blocking */
            struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    w->partial |= done && done < len;
    return done == len;
}

static bool
write_line(struct log_writer *w, const char *line, size_t len)
{
    if (w->partial && write_bytes(w, "\n", 1))
        w->partial = false;
    return !w->partial && write_bytes(w, line, len);
}

/* Returns how many lines could not be written. */
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
report_dropped(struct log_writer *w, uint64_t lines, enum log_format format)
{
    static const char message[] = "log lines were dropped: the reader did not keep up or the write failed";
    struct log_field field = log_number("lines", (double)lines);
    char line[LOG_LINE_MAX];
    return write_line(w, line, log_compose(line, format, LOG_WARN, message, &field, 1));
}

static void *
work(void *ctx)
{
    struct log_writer *w = ctx;
    uint64_t unreported = 0; /* dropped lines that no line has reported yet */

    pthread_mutex_lock(&w->mutex);
    while (w->len || !w->stop) {
        if (!w->len) {
            pthread_cond_wait(&w->changed, &w->mutex);
            continue;
        }
        const char *bytes = w->filling;
        size_t len = w->len;
        enum log_format format = w->format;
        unreported += w->lost;
        w->filling = w->buffers[w->filling == w->buffers[0]];
        w->len = w->lost = 0;
        pthread_mutex_unlock(&w->mutex);
        uint64_t failed = write_lines(w, bytes, len);
        unreported += failed;
        if (unreported && report_dropped(w, unreported, format))
            unreported = 0;
        pthread_mutex_lock(&w->mutex);
        w->dropped += failed;
    }
    w->finished = true;
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
    /* Once a line is dropped, so are all that follow, short ones too: the gap is in one place. */
    if (w->lost || len > BUFFER_BYTES - w->len) {
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

int
log_writer_start(struct log_writer *w)
{
    int r = thread_start(&w->thread, STACK_BYTES, work, w);
    w->has_thread = !r;
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
    struct log_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    pthread_mutex_init(&w->mutex, NULL);
    thread_cond_init(&w->changed);
    w->filling = w->buffers[0];
    *writerp = w;
    return 0;
}

void
log_writer_free(struct log_writer *w, int64_t max_ms)
{
    struct timespec until;
    if (!w)
        return;
    if (!w->has_thread && log_writer_start(w)) {
        write_lines(w, w->filling, w->len);
        if (w->lost)
            report_dropped(w, w->lost, w->format);
        destroy(w);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + max_ms % 1000 * 1000000;
    until.tv_sec += max_ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;

    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_cond_signal(&w->changed);
    while (!w->finished && pthread_cond_timedwait(&w->changed, &w->mutex, &until) != ETIMEDOUT)
        ;
    bool finished = w->finished;
    pthread_mutex_unlock(&w->mutex);
    if (finished) {
        pthread_join(w->thread, NULL);
        destroy(w);
    } else {
        pthread_detach(w->thread); /* it waits for a reader and owns the writer; it ends with the process */
    }
}
