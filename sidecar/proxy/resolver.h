/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_RESOLVER_H
#define PROXY_RESOLVER_H
/*
 * Looks up the addresses of host names without ever blocking the event loop, however long DNS takes.
 *
 * The C library does it, as for every other program in the Pod: hosts file, search list, TCP after a truncated
 * response, resolv.conf when it changes. It blocks, so it runs in threads, and nothing ever joins a thread: neither a
 * cancelled lookup nor the end of the program. libcurl's own resolver is similar, but joins its thread when a transfer
 * is removed; with CURLOPT_QUICK_EXIT it may leave any number of threads running.
 *
 * Lookups of one name share a thread. So the threads that wait for DNS are bounded, per name
 * (RESOLVER_THREADS_PER_NAME) and in all (RESOLVER_THREADS).
 */
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct resolver;
struct resolver_name;

enum {
    /* One name that DNS does not answer for must not block all others. */
    RESOLVER_THREADS = 32,
    RESOLVER_THREADS_PER_NAME = 4,
};

struct resolver_answer {
    /* As in "127.0.0.1,::1", in the order to try them; NULL: the lookup failed. */
    const char *addresses;
    const char *reason; /* of the failure */
    bool no_memory;     /* it failed because memory ran out */
};

/* One that waits for a name's addresses; zeroed: for none. */
struct lookup {
    TAILQ_ENTRY(lookup) next;
    struct resolver_name *name;
    /* The answer is borrowed for the call; the lookup may be reused or freed in here. */
    void (*answered)(void *ctx, const struct resolver_answer *answer);
    void *ctx;
};

/* 0: *resolverp is the caller's. Or a negative errno value. */
int resolver_new(struct resolver **resolverp, struct event_base *base);

/* After the last lookup was cancelled or answered. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* 0: the lookup waits, and is answered from the event loop. EBUSY (positive): all threads wait for DNS, none of them
   for this name. -EAGAIN: no thread could be started. -ENOMEM. */
int resolver_look_up(struct resolver *resolver, const char *host, struct lookup *lookup);

/* One that does not wait is fine. */
void lookup_cancel(struct lookup *lookup);

#endif
