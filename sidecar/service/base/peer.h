/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PEER_H
#define SERVICE_PEER_H
/* Who is at the other end of a connection. */
#include <stdbool.h>
#include <sys/socket.h>

struct peer {
    int family;              /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC for all else */
    unsigned char bytes[16]; /* of the address; an IPv4 address in IPv6's clothes is IPv4 */
};

enum { PEER_TEXT = 64 };

/* Of the address that accept(2) gave: getpeername(2) has none of a peer that has reset its connection. */
struct peer peer_of_address(const struct sockaddr *address);

/* Whether two are one as limits see it: of IPv6, a host has a /64 to itself. Those of unix sockets are all different,
   those that nothing is known of all the same. */
bool peer_is_same(const struct peer *a, const struct peer *b);

/* Whether it is on this host: over loopback or a unix socket. */
bool peer_is_local(const struct peer *peer);

void peer_print(const struct peer *peer, char text[PEER_TEXT]);

#endif
