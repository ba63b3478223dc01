/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOOP_H
#define SERVICE_LOOP_H
/*
 * The event loop and its priorities, which are strict: callbacks run in the order of their priority. At LOOP_LAST only
 * one callback runs before the loop looks for events of the others again.
 */
struct event_base;

enum loop_priority {
    LOOP_FIRST, /* what must not wait */
    LOOP_USUAL, /* the default */
    LOOP_LAST,  /* what takes long, and any client can cause */
    LOOP_PRIORITIES
};

/* Free it with event_base_free(). NULL: out of memory. */
struct event_base *loop_new(void);

#endif
