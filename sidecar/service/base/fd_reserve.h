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

struct limits;

/* Takes as many as the system grants, and the reserve. limits is borrowed until descriptors_deinit(). */
void descriptors_init(struct limits *limits);
void descriptors_deinit(void);

/* Whether with so many connections of one listener too few are left. A reserve that was lost is taken anew. */
bool descriptors_are_scarce(size_t connections);

/* Accepts a connection and closes it, where there is no descriptor for it. False: that cannot be done either. */
bool descriptors_turn_away(int listener);

#endif
