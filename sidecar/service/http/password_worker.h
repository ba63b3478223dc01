/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PASSWORD_WORKER_H
#define SERVICE_PASSWORD_WORKER_H
/* A thread that checks passwords, one at a time, so that the event loop is not blocked. After a mismatch it pauses as
   long as the check took, so guessing costs at most half a core. */
#include <stdbool.h>

struct credential;
struct event_base;
struct password_worker;

/* 0: *workerp is the caller's; the event loop calls done(). -ENOMEM; -EAGAIN: cannot create a thread. */
int password_worker_new(struct password_worker **workerp, struct event_base *base,
                        void (*done)(bool matches, void *ctx), void *ctx);

/* Waits for the running check. NULL is fine. */
void password_worker_free(struct password_worker *worker);

/* Starts a check; not again before done(). The credential is borrowed until then. */
void password_worker_start(struct password_worker *worker, const struct credential *credential);

#endif
