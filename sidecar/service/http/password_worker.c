/* SPDX-License-Identifier: Apache-2.0 */
#include "password_worker.h"

#include "service/access/passwords.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct password_worker {
    pthread_t thread;
    bool started;
    int wake; /* an eventfd: the match is done */
    struct event *event;
    void (*done)(bool matches, void *ctx);
    void *ctx;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    const struct credential *credential; /* to be matched; NULL: nothing */
    bool matches, stop;
};

/* The thread. */

static void
rest(struct password_worker *v, const struct timespec *began)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = (int64_t)(until.tv_sec - began->tv_sec) * 1000000000 + until.tv_nsec - began->tv_nsec + until.tv_nsec;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (!v->stop && pthread_cond_timedwait(&v->changed, &v->mutex, &until) != ETIMEDOUT)
        ;
}

static void *
work(void *ctx)
{
    struct password_worker *v = ctx;
    pthread_mutex_lock(&v->mutex);
    while (!v->stop) {
        struct timespec began;
        const struct credential *credential = v->credential;
        if (!credential) {
            pthread_cond_wait(&v->changed, &v->mutex);
            continue;
        }
        pthread_mutex_unlock(&v->mutex);
        clock_gettime(CLOCK_MONOTONIC, &began);
        bool matches = credential_matches(credential);
        pthread_mutex_lock(&v->mutex);
        v->matches = matches;
        v->credential = NULL;
        const uint64_t one = 1;
        if (write(v->wake, &one, sizeof(one)) < 0)
            break; /* it cannot: the counter is never full */
        if (!matches)
            rest(v, &began);
    }
    pthread_mutex_unlock(&v->mutex);
    return NULL;
}

/* The loop. */

static void
on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct password_worker *v = ctx;
    uint64_t n;
    (void)what;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&v->mutex);
    bool matches = v->matches;
    pthread_mutex_unlock(&v->mutex);
    v->done(matches, v->ctx);
}

void
password_worker_start(struct password_worker *v, const struct credential *credential)
{
    pthread_mutex_lock(&v->mutex);
    v->credential = credential;
    pthread_cond_signal(&v->changed);
    pthread_mutex_unlock(&v->mutex);
}

/* Signals are for the event loop. */
static int
start_thread(struct password_worker *v)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    v->started = !pthread_create(&v->thread, NULL, work, v);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return v->started ? 0 : -EAGAIN;
}

int
password_worker_new(struct password_worker **verifierp_placeholder, struct event_base *base,
                    void (*done)(bool matches, void *ctx), void *ctx)
{
    pthread_condattr_t attributes;
    struct password_worker *v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    pthread_mutex_init(&v->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&v->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    v->done = done;
    v->ctx = ctx;
    v->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    v->event = v->wake < 0 ? NULL : event_new(base, v->wake, EV_READ | EV_PERSIST, on_wake, v);
    int r = v->event && !event_add(v->event, NULL) ? start_thread(v) : -ENOMEM;
    if (r)
        password_worker_free(v);
    else
        *verifierp_placeholder = v;
    return r;
}

void
password_worker_free(struct password_worker *v)
{
    if (!v)
        return;
    pthread_mutex_lock(&v->mutex);
    v->stop = true;
    pthread_cond_signal(&v->changed);
    pthread_mutex_unlock(&v->mutex);
    if (v->started)
        pthread_join(v->thread, NULL);
    if (v->event)
        event_free(v->event);
    if (v->wake >= 0)
        close(v->wake);
    pthread_cond_destroy(&v->changed);
    pthread_mutex_destroy(&v->mutex);
    free(v);
}
