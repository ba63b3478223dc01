/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_IN_FLIGHT_H
#define PROXY_IN_FLIGHT_H
/* How many scrapes of each endpoint are in flight. An endpoint is known by its name here: a reload makes
   another one of it, and takes no scrape's place. */
#include <stddef.h>

struct in_flight_row {
    struct in_flight_row *next;
    size_t n;
    char name[];
};

struct in_flight {
    struct in_flight_row *rows; /* none with n 0 */
};

/* One more of an endpoint, to be given to in_flight_end(). NULL for want of memory. */
struct in_flight_row *in_flight_begin(struct in_flight *all, const char *endpoint);

/* One less. NULL is fine. */
void in_flight_end(struct in_flight *all, struct in_flight_row *row);

#endif
