/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SHARED_FETCH_H
#define PROXY_SHARED_FETCH_H
/* Fetches the body of a snapshot: one answer of the service for all who wait, within the longest of their times. */
#include "fetch.h"

struct request;
struct shared_fetch;
struct snapshot;
struct snapshot_user;

/* Makes ready what the first who waits asks for. 0: *fetchp is the caller's. -ENOMEM. */
int shared_fetch_new(struct shared_fetch **fetchp, struct snapshot *snapshot, const struct request *request);

/* One more waits for it, whose timeout may lengthen its own: it begins with the first turn that one of them has. It
   ends in snapshot_ended(), perhaps at once. */
void shared_fetch_join(struct shared_fetch *fetch, struct snapshot_user *user);

/* How far it is. */
enum fetch_progress shared_fetch_progress(const struct shared_fetch *fetch);

/* Cancels it. NULL is fine. */
void shared_fetch_free(struct shared_fetch *fetch);

#endif
