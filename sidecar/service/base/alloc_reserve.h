/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ALLOC_RESERVE_H
#define SERVICE_ALLOC_RESERVE_H
/*
 * The memory of libevent and libcurl. Both crash where they get none for certain small things (libevent 2.1 for a
 * request's headers, libcurl 7.88 for its table of sockets): so a reserve serves small blocks when malloc() does not.
 *
 * Both hold what credentials are sent in, and copies of it, in small blocks: these are wiped when they are given back.
 *
 * What evhttp has no memory for it leaves out: a header such as Transfer-Encoding, without which it goes on to promise
 * an empty body. So what libevent could not get is counted, and an answer meanwhile is not to be sent. libcurl says
 * that there is no memory where a head is too long for it, too: what it could not get tells which it was.
 */
#include <stdint.h>

/* Begins libcurl, and puts the reserve behind malloc() for both. To be called once, by the only thread, ahead of all
   else of them; curl_global_cleanup() ends it. 0 or -ENOMEM. */
int alloc_reserve_install(void);

/* How often libevent, or libcurl, got no memory, the reserve being used up or the block too large for it. */
uint64_t alloc_failures(void);
uint64_t alloc_failures_of_curl(void);

#endif
