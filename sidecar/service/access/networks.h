/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_NETWORKS_H
#define SERVICE_NETWORKS_H
/* IPv4 and IPv6 networks: 10.0.0.0/8, fd00::/8, 192.0.2.7. */
#include <stdbool.h>

struct peer;

struct network {
    int family;
    unsigned char bytes[16];
    unsigned bits; /* prefix length */
};

/* NULL, or an error message that continues a sentence starting with text. network may be NULL. */
const char *network_read(struct network *network, const char *text);

/* A peer on a unix socket is in no network. */
bool network_contains(const struct network *network, const struct peer *peer);

#endif
