/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOOP_H
#define SERVICE_LOOP_H
/*
 * The event loop and its priorities. Whatever is to be done of one is done before anything of those behind it; of the
 * last, only one thing is done before the others are asked again.
 */
struct event_base;

enum loop_priority {
    LOOP_FIRST, /* what must not wait */
    LOOP_USUAL, /* all that is not told otherwise */
    LOOP_LAST,  /* what takes long, and can be asked for by anybody */
    LOOP_PRIORITIES
};

/* For event_base_free(). NULL for want of memory. */
struct event_base *loop_new(void);

#endif
