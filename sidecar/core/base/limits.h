/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H
/* Fixed sizes of the core. Each is used next to the loop that it protects, but defined once, here. */

enum {
    /* Spans passed to the sink at once; more records only cause more calls. */
    CORE_MAX_SPANS = 64,
    /* Bytes of a cached sample prefix, which lets one comparison recognise the lines of a name. The lines of a
       longer name are parsed one by one, which is only slower. */
    CORE_MAX_PREFIX = 256,
    /* Cached prefixes: a histogram's three names and one more. */
    CORE_MAX_PREFIXES = 4,
    /* Names whose route is cached from scrape to scrape, 100 bytes each: more than almost any service has. */
    CORE_MAX_ROUTES = 4096,
    /* Families counted individually where only statistics need it, and the bytes of their names: 128 for each. */
    CORE_MAX_FAMILY_STATS = 8192,
    CORE_MAX_FAMILY_STATS_BYTES = 1024 * 1024,
    /* Bytes of names and metadata remembered during a body where the key or max_families needs them: a hundred thousand
       families. */
    CORE_MAX_NAME_BYTES = 32 * 1024 * 1024,
    /* Overhead of metadata that wait for a sample, in memory and in the count above. */
    CORE_WAITING_OVERHEAD = 32,
    /* Rules with a selector, each a bit of a 64-bit number; names can share one: (a|b){...}. */
    CORE_MAX_SELECTORS = 64,
    /* Different labels in all of them, which are looked for in each series that they concern. */
    CORE_MAX_SELECTOR_LABELS = 64,
    /* Bytes of one, far more than anyone writes. */
    CORE_MAX_SELECTOR_BYTES = 4 * 1024,
    /* Values whose match is remembered for each regular expression of a selector, and the bytes of the longest. Most
       labels have few values, and remembering is several times as fast as matching. */
    CORE_SELECTOR_VALUES = 64,
    CORE_SELECTOR_VALUE_BYTES = 62,
    /* Bytes of a protobuf family that are examined together when it is split. */
    CORE_MAX_FAMILY_WINDOW = 256 * 1024,
};

#endif
