/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_FD_RESERVE_H
#define SERVICE_FD_RESERVE_H
/*
 * The process' descriptors, when they run short.
 *
 * A quarter of them is kept free for scrapes, which need two each besides their connection. Should they run out all the
 * same, a reserve is given up for the moment it takes to accept a connection and close it: its client hears at once,
 * and a listener that cannot accept does not spin.
 */
#include <stdbool.h>
#include <stddef.h>

struct rejection_log;

/* Takes as many as the system grants, and the reserve. limits is borrowed until fd_reserve_deinit(). */
void fd_reserve_init(struct rejection_log *rejections);
void fd_reserve_deinit(void);

/* Whether with so many connections of one listener too few are left. A reserve that was lost is taken anew. */
bool fds_are_low(size_t connections);

/* Accepts a connection and closes it, where there is no descriptor for it. False: that cannot be done either. */
bool fd_reserve_reject(int listener);

#endif
