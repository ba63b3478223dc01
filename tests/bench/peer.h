/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H
/* The two halves of bench-peer: peer.c serves, peer_get.c requests. */
#include <stddef.h>
#include <time.h>

enum { PEER_BUFFER = 64 * 1024 };

/* Prints the reason from errno, and exits. */
__attribute__((noreturn)) void die(const char *what);

/* Seconds. */
double now(clockid_t clock);

/* A request, and to whom: an address is PORT, tls:PORT or the path of a unix socket. */
struct scrape {
    const char *address, *target, *header; /* one header field without its line break, or "" */
};

/* As described in peer.c; 0, or they do not return. pace: bytes per second, 0: no limit. */
int get(const struct scrape *what, int times, double pace);
int get_each(const struct scrape *what);
int decrypt(const struct scrape *what, int times);

#endif
