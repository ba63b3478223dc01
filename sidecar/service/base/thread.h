/* SPDX-License-Identifier: Apache-2.0 */
/* Threads beside the event loop. */
#ifndef SERVICE_THREAD_H
#define SERVICE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Starts a thread that receives no signals: they are for the event loop. stack_bytes: 0 for the default.
 * 0, or -EAGAIN or -ENOMEM without one.
 */
int thread_start(pthread_t *thread, size_t stack_bytes, void *(*work)(void *ctx), void *ctx);

/* Initializes a condition variable whose timed waits use CLOCK_MONOTONIC. */
void thread_cond_init(pthread_cond_t *cond);

#endif
