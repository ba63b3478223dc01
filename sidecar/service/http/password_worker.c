/* SPDX-License-Identifier: Apache-2.0 */
#include "password_worker.h"

#include "service/access/passwords.h"
#include "service/base/thread.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct password_worker {
    pthread_t thread;
    bool has_thread;
    int wake; /* an eventfd: the check is done */
    struct event *event;
    void (*done)(bool matches, void *ctx);
    void *ctx;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    const struct credential *credential; /* to be checked; NULL: nothing */
    bool matches, stop;
};

/* The thread. */

static void
pause_after_mismatch(struct password_worker *w, const struct timespec *started)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns =
        (int64_t)(until.tv_sec - started->tv_sec) * 1000000000 + until.tv_nsec - started->tv_nsec + until.tv_nsec;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (!w->stop && pthread_cond_timedwait(&w->changed, &w->mutex, &until) != ETIMEDOUT)
        ;
}

static void *
work(void *ctx)
{
    struct password_worker *w = ctx;
    pthread_mutex_lock(&w->mutex);
    while (!w->stop) {
        struct timespec started;
        const struct credential *credential = w->credential;
        if (!credential) {
            pthread_cond_wait(&w->changed, &w->mutex);
            continue;
        }
        pthread_mutex_unlock(&w->mutex);
        clock_gettime(CLOCK_MONOTONIC, &started);
        bool matches = credential_matches(credential);
        pthread_mutex_lock(&w->mutex);
        w->matches = matches;
        w->credential = NULL;
        const uint64_t one = 1;
        if (write(w->wake, &one, sizeof(one)) < 0)
            break; /* cannot happen: the counter is never full */
        if (!matches)
            pause_after_mismatch(w, &started);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* The loop. */

static void
on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct password_worker *w = ctx;
    uint64_t n;
    (void)what;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&w->mutex);
    bool matches = w->matches;
    pthread_mutex_unlock(&w->mutex);
    w->done(matches, w->ctx);
}

void
password_worker_start(struct password_worker *w, const struct credential *credential)
{
    pthread_mutex_lock(&w->mutex);
    w->credential = credential;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static int
start_thread(struct password_worker *w)
{
    int r = thread_start(&w->thread, 0, work, w);
    w->has_thread = !r;
    return r;
}

int
password_worker_new(struct password_worker **workerp, struct event_base *base, void (*done)(bool matches, void *ctx),
                    void *ctx)
{
    struct password_worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    pthread_mutex_init(&w->mutex, NULL);
    thread_cond_init(&w->changed);
    w->done = done;
    w->ctx = ctx;
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->event = w->wake < 0 ? NULL : event_new(base, w->wake, EV_READ | EV_PERSIST, on_wake, w);
    int r = w->event && !event_add(w->event, NULL) ? start_thread(w) : -ENOMEM;
    if (r)
        password_worker_free(w);
    else
        *workerp = w;
    return r;
}

void
password_worker_free(struct password_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    if (w->event)
        event_free(w->event);
    if (w->wake >= 0)
        close(w->wake);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
