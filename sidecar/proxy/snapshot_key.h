/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SNAPSHOT_KEY_H
#define PROXY_SNAPSHOT_KEY_H
/* Which requests may share a response. In doubt they do not: a response meant for another must never go out. */

struct request;

/* Equal for requests that may share a snapshot; to be given to secret_free(). NULL: out of memory. */
char *snapshot_key(const struct request *request);

#endif
