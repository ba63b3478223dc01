/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H
/* The core's fixed sizes. Each stands beside the loop it protects, but is said here once. */

enum {
    /* Spans handed to the sink at once; more records only mean more calls. */
    CORE_MAX_SPANS = 64,
    /* Bytes of a sample's beginning that are remembered, so that the lines of one name are told by one comparison. A
       longer name is only slower: its lines are read one by one. */
    CORE_MAX_PREFIX = 256,
    /* Beginnings remembered at once: a histogram's three names, and one more. */
    CORE_MAX_PREFIXES = 4,
    /* Names whose verdict is remembered from scrape to scrape, 100 bytes each: more than almost every service has. */
    CORE_MAX_ROUTES = 4096,
    /* Families that are counted one by one where nothing but curiosity asks for it. */
    CORE_MAX_FAMILY_STATS = 8192,
    /* Bytes of names and metadata that are kept through a body where the key needs them: a hundred thousand families.
     */
    CORE_MAX_NAME_BYTES = 32 * 1024 * 1024,
    /* What metadata that wait for a sample take besides their own bytes, in memory and by that count. */
    CORE_WAITING_OVERHEAD = 32,
    /* Bytes of a protobuf family that are looked at together where its metrics part. */
    CORE_MAX_FAMILY_WINDOW = 256 * 1024,
};

#endif
