/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SHARED_FETCH_H
#define PROXY_SHARED_FETCH_H
/* Fetches the body of a snapshot: one answer of the service for all who wait, within the endpoint's timeout. */
#include "fetch.h"

struct peer;
struct request;
struct shared_fetch;
struct snapshot;

/* Begins with what the first who waits asks for, when it is his turn. It ends in snapshot_ended(), from the event loop.
   0: *fetchp is the caller's. -ENOMEM. */
int shared_fetch_new(struct shared_fetch **fetchp, struct snapshot *snapshot, const struct request *request,
                     const struct peer *peer);

/* Another waits for it, whose turn to ask may come sooner. */
void shared_fetch_join(struct shared_fetch *fetch, const struct peer *peer);

/* How far it is. */
enum fetch_progress shared_fetch_progress(const struct shared_fetch *fetch);

/* Cancels it. NULL is fine. */
void shared_fetch_free(struct shared_fetch *fetch);

#endif
