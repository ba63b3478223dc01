/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_RESOLVER_H
#define PROXY_RESOLVER_H
/*
 * Finds the addresses of host names without ever holding the event loop, however long DNS takes.
 *
 * The C library looks a name up, as it does for every other program of the Pod: hosts file, search list, TCP after a
 * truncated answer, resolv.conf when it changes. It blocks, so it does that in threads, and nobody waits for a thread:
 * not who gives a lookup up, and not the end of the program. What libcurl does by itself is nearly that, but it joins
 * its thread when a transfer is taken out, and with CURLOPT_QUICK_EXIT any number of threads may be left behind.
 *
 * Who asks for a name that is being looked up waits with the others. So threads that DNS keeps are bounded, by names
 * (RESOLVER_THREADS_PER_NAME) and in all (RESOLVER_THREADS).
 */
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct resolver;
struct resolver_name;

enum {
    /* A name that DNS does not answer for must not keep all the others from being looked up. */
    RESOLVER_THREADS = 32,
    RESOLVER_THREADS_PER_NAME = 4,
};

struct resolver_answer {
    /* As in "127.0.0.1,::1", in the order in which they are to be tried; NULL: there are none. */
    const char *addresses;
    const char *reason; /* if there are none */
    bool no_memory;     /* if that is it */
};

/* Who waits for a name. A zeroed one waits for none. */
struct lookup {
    TAILQ_ENTRY(lookup) next;
    struct resolver_name *name;
    /* It waits no more. The answer is borrowed for the call; the lookup may be used again in there, or go. */
    void (*answered)(void *ctx, const struct resolver_answer *answer);
    void *ctx;
};

/* 0: *resolverp is the caller's. Or a negative errno value. */
int resolver_new(struct resolver **resolverp, struct event_base *base);

/* After the last lookup was left or answered. NULL is fine. */
void resolver_free(struct resolver *resolver);

/*
 * Looks a host name up. 0: the lookup waits, and is answered from the event loop. EBUSY (positive): all threads wait
 * for DNS, none of them for this name. -EAGAIN: there is no thread to do it. -ENOMEM.
 */
int resolver_ask(struct resolver *resolver, const char *host, struct lookup *lookup);

/* Waits no more; one that does not is fine. */
void lookup_leave(struct lookup *lookup);

#endif
