/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver.h"

#include "service/base/thread.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    /* After this a lookup gets another thread: DNS may be back, and the C library is slow to notice. This is its own
       timeout for one query to one server (resolv.conf(5)). */
    RETRY_SECONDS = 5,
};

/* A thread's work. The thread owns it until it is posted. */
struct job {
    struct job *next;
    struct mailbox *mailbox;
    struct resolver_name *name; /* for the loop only */
    char *addresses;
    int error; /* getaddrinfo()'s, or EAI_MEMORY */
    char host[];
};

/* Between the threads and the loop. The last user frees it: threads may outlive the resolver. */
struct mailbox {
    pthread_mutex_t mutex; /* guards the rest */
    unsigned users;
    bool closed;
    int wake; /* the loop's eventfd */
    struct job *done;
};

/* A name that is being looked up. After an answer the next lookup queries DNS again. */
struct resolver_name {
    TAILQ_ENTRY(resolver_name) next;
    TAILQ_HEAD(, lookup) waiting;
    unsigned threads;
    bool ended;
    time_t started; /* of the last thread, by the monotonic clock */
    char host[];
};

struct resolver {
    struct event *woken;
    struct mailbox *mailbox;
    TAILQ_HEAD(, resolver_name) names;
    unsigned threads;
};

static void
free_job(struct job *job)
{
    free(job->addresses);
    free(job);
}

/* With the mutex held; unlocks it. */
static void
leave_mailbox(struct mailbox *m)
{
    bool last = !--m->users;
    pthread_mutex_unlock(&m->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

/* The thread. */

/* As text for libcurl, which does not take one with an interface (fe80::1%eth0). */
static int
write_addresses(char **addresses, const struct addrinfo *found)
{
    size_t len;
    FILE *out = open_memstream(addresses, &len);
    if (!out)
        return EAI_MEMORY;
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        char text[NI_MAXHOST];
        if (!getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) && !strchr(text, '%'))
            fprintf(out, "%s%s", ftell(out) > 0 ? "," : "", text);
    }
    if (ferror(out) | fclose(out) || !*addresses)
        return EAI_MEMORY;
    return **addresses ? 0 : EAI_NONAME;
}

static bool
has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void *
run_lookup(void *ctx)
{
    struct job *job = ctx;
    struct mailbox *m = job->mailbox;
    struct addrinfo hints = {.ai_family = has_ipv6() ? AF_UNSPEC : AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    const uint64_t one = 1;

    job->error = getaddrinfo(job->host, NULL, &hints, &found);
    if (!job->error)
        job->error = write_addresses(&job->addresses, found);
    if (found)
        freeaddrinfo(found);

    pthread_mutex_lock(&m->mutex);
    if (m->closed) {
        free_job(job);
    } else {
        job->next = m->done;
        m->done = job;
        if (write(m->wake, &one, sizeof(one)) < 0) {
            /* It cannot fail: the counter never overflows. */
        }
    }
    leave_mailbox(m);
    return NULL;
}

static int
start_thread(struct job *job)
{
    pthread_t thread;
    int r = thread_start(&thread, 0, run_lookup, job);
    if (!r)
        pthread_detach(thread);
    return r;
}

/* The loop. */

static time_t
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static int
start_lookup_thread(struct resolver *r, struct resolver_name *name)
{
    struct mailbox *m = r->mailbox;
    if (r->threads >= RESOLVER_THREADS)
        return EBUSY;
    size_t size = strlen(name->host) + 1;
    struct job *job = calloc(1, sizeof(*job) + size);
    if (!job)
        return -ENOMEM;
    memcpy(job->host, name->host, size);
    job->mailbox = m;
    job->name = name;
    pthread_mutex_lock(&m->mutex);
    m->users++;
    pthread_mutex_unlock(&m->mutex);
    int error = start_thread(job);
    if (error) {
        pthread_mutex_lock(&m->mutex);
        leave_mailbox(m);
        free_job(job);
        return error;
    }
    r->threads++;
    name->threads++;
    name->started = now();
    return 0;
}

static void
free_if_done(struct resolver *r, struct resolver_name *name)
{
    if (!name->ended || name->threads)
        return;
    TAILQ_REMOVE(&r->names, name, next);
    free(name);
}

static void
notify_lookups(struct resolver *r, const struct job *job)
{
    struct resolver_name *name = job->name;
    struct lookup *lookup;
    const struct resolver_answer answer = {
        .addresses = job->error ? NULL : job->addresses,
        .reason = job->error == EAI_SYSTEM ? "system error" : gai_strerror(job->error),
        .no_memory = job->error == EAI_MEMORY,
    };
    name->ended = true;
    while ((lookup = TAILQ_FIRST(&name->waiting)) != NULL) {
        lookup_cancel(lookup);
        lookup->answered(lookup->ctx, &answer);
    }
    name->threads--;
    r->threads--;
    free_if_done(r, name);
}

static void
on_woken(evutil_socket_t fd, short what, void *ctx)
{
    struct resolver *r = ctx;
    uint64_t n;
    (void)what;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&r->mailbox->mutex);
    struct job *job = r->mailbox->done;
    r->mailbox->done = NULL;
    pthread_mutex_unlock(&r->mailbox->mutex);
    while (job) {
        struct job *next = job->next;
        notify_lookups(r, job);
        free_job(job);
        job = next;
    }
}

static struct resolver_name *
find_or_add_name(struct resolver *r, const char *host)
{
    struct resolver_name *name;
    TAILQ_FOREACH (name, &r->names, next)
        if (!name->ended && !strcmp(name->host, host))
            return name;
    size_t size = strlen(host) + 1;
    name = calloc(1, sizeof(*name) + size);
    if (!name)
        return NULL;
    memcpy(name->host, host, size);
    TAILQ_INIT(&name->waiting);
    TAILQ_INSERT_TAIL(&r->names, name, next);
    return name;
}

int
resolver_look_up(struct resolver *r, const char *host, struct lookup *lookup)
{
    struct resolver_name *name = find_or_add_name(r, host);
    int error = 0;
    if (!name)
        return -ENOMEM;
    if (!name->threads || (name->threads < RESOLVER_THREADS_PER_NAME && now() - name->started >= RETRY_SECONDS))
        error = start_lookup_thread(r, name);
    if (error && !name->threads) {
        name->ended = true;
        free_if_done(r, name);
        return error;
    }
    lookup->name = name;
    TAILQ_INSERT_TAIL(&name->waiting, lookup, next);
    return 0;
}

void
lookup_cancel(struct lookup *lookup)
{
    if (lookup->name)
        TAILQ_REMOVE(&lookup->name->waiting, lookup, next);
    lookup->name = NULL;
}

static int
mailbox_new(struct mailbox **mailboxp)
{
    struct mailbox *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->wake < 0) {
        int error = -errno;
        free(m);
        return error;
    }
    pthread_mutex_init(&m->mutex, NULL);
    m->users = 1;
    *mailboxp = m;
    return 0;
}

int
resolver_new(struct resolver **resolverp, struct event_base *base)
{
    struct resolver *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    TAILQ_INIT(&r->names);
    int error = mailbox_new(&r->mailbox);
    r->woken = !r->mailbox ? NULL : event_new(base, r->mailbox->wake, EV_READ | EV_PERSIST, on_woken, r);
    if (!error && (!r->woken || event_add(r->woken, NULL)))
        error = -ENOMEM;
    if (error)
        resolver_free(r);
    else
        *resolverp = r;
    return error;
}

/* Jobs that still run are freed by their threads, or when the process ends. */
static void
close_mailbox(struct mailbox *m)
{
    struct job *job, *next;
    pthread_mutex_lock(&m->mutex);
    m->closed = true;
    close(m->wake);
    for (job = m->done; job; job = next) {
        next = job->next;
        free_job(job);
    }
    leave_mailbox(m);
}

void
resolver_free(struct resolver *r)
{
    struct resolver_name *name;
    if (!r)
        return;
    if (r->woken)
        event_free(r->woken);
    if (r->mailbox)
        close_mailbox(r->mailbox);
    while ((name = TAILQ_FIRST(&r->names)) != NULL) {
        TAILQ_REMOVE(&r->names, name, next);
        free(name);
    }
    free(r);
}
