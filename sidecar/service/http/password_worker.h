/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PASSWORD_WORKER_H
#define SERVICE_PASSWORD_WORKER_H
/* A thread that matches passwords, one at a time, while the event loop goes on. Behind one that did not match it rests
   as long as that took: half a core is the most that guessing costs. */
#include <stdbool.h>

struct credential;
struct event_base;
struct password_worker;

/* 0: *verifierp is the caller's; done() comes from the event loop. -ENOMEM; -EAGAIN: there is no thread to be had. */
int password_worker_new(struct password_worker **verifierp_placeholder, struct event_base *base,
                        void (*done)(bool matches, void *ctx), void *ctx);

/* Waits for the match in hand. NULL is fine. */
void password_worker_free(struct password_worker *worker);

/* Begins to match; not again before done(). The credential is borrowed until then. */
void password_worker_start(struct password_worker *worker, const struct credential *credential);

#endif
