/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SHARED_FETCH_H
#define PROXY_SHARED_FETCH_H
/* Fetches the body of a snapshot: one response for all users that wait, within the longest of their timeouts. */
#include "fetch.h"

struct request;
struct shared_fetch;
struct snapshot;
struct snapshot_user;

/* Prepares a fetch. 0: *fetchp is the caller's. -ENOMEM. */
int shared_fetch_new(struct shared_fetch **fetchp, struct snapshot *snapshot, const struct request *request);

/* Another user waits for it, whose timeout may extend its own. It starts when the first user gets an upstream slot, and
   ends in snapshot_ended(), perhaps at once. */
void shared_fetch_join(struct shared_fetch *fetch, struct snapshot_user *user);

enum fetch_progress shared_fetch_progress(const struct shared_fetch *fetch);

/* Cancels it. NULL is fine. */
void shared_fetch_free(struct shared_fetch *fetch);

#endif
