/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ALLOC_RESERVE_H
#define SERVICE_ALLOC_RESERVE_H
/*
 * The allocator of libevent and libcurl. Both crash when certain small allocations fail (libevent 2.1: a request's
 * headers; libcurl 7.88: its table of sockets), so a reserve serves small blocks when malloc() fails.
 *
 * Both keep credentials, and copies of them, in small blocks: these are wiped when they are freed.
 *
 * evhttp omits what it has no memory for: a header such as Transfer-Encoding, and then it announces an empty body. So
 * libevent's failed allocations are counted, and a response during which one failed must not be sent. libcurl reports
 * "out of memory" for an oversized header too: its own count tells the two apart.
 */
#include <stddef.h>
#include <stdint.h>

/* Initialises libcurl and installs the allocator in both. Call it once, before any other use of them and before any
   thread starts; curl_global_cleanup() undoes it. 0 or -ENOMEM. */
int alloc_reserve_install(void);

/* For a callback of theirs that must not fail: a zeroed block, also from the reserve, or NULL; and its free(3). */
void *alloc_reserve_calloc(size_t size);
void alloc_reserve_free(void *block);

/* Failed allocations of libevent, or of libcurl: the reserve was used up, or the block too large for it. */
uint64_t alloc_failures(void);
uint64_t alloc_failures_of_curl(void);

#endif
