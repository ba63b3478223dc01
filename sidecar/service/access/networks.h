/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NETWORKS_H
#define SERVICE_NETWORKS_H
/* Networks by their address and prefix, IPv4 and IPv6: 10.0.0.0/8, fd00::/8, 192.0.2.7. */
#include <stdbool.h>

struct peer;

struct network {
    int family;
    unsigned char bytes[16];
    unsigned bits; /* of the prefix */
};

/* NULL, or what is wrong, as the end of a sentence that begins with the value. network may be NULL. */
const char *network_read(struct network *network, const char *text);

/* Whether a peer is in it; one that came over a unix socket is in none. */
bool network_has(const struct network *network, const struct peer *peer);

#endif
