/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_FD_RESERVE_H
#define SERVICE_FD_RESERVE_H
/*
 * When file descriptors run short.
 *
 * A quarter of them is kept free for scrapes, which need two each besides their connection. If they run out
 * nevertheless, a spare descriptor is given up just long enough to accept a connection and close it: the client sees
 * the failure at once, and a listener that cannot accept does not spin.
 */
#include <stdbool.h>
#include <stddef.h>

struct peer;

/* Raises the limit as far as the system allows, and opens the spare. rejected() gets each peer that was rejected. */
void fd_reserve_init(void (*rejected)(const struct peer *peer, void *ctx), void *ctx);
void fd_reserve_deinit(void);

/* Whether a listener with this many connections leaves too few descriptors. Reopens a spare that was lost. */
bool fds_are_low(size_t connections);

/* Accepts a connection and closes it, by means of the spare. False: there is no spare, or accept(2) failed. */
bool fd_reserve_reject(int listener);

#endif
