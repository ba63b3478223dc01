/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PEER_H
#define SERVICE_PEER_H
/* The other end of a connection. */
#include <stdbool.h>
#include <sys/socket.h>

struct peer {
    int family;              /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC for anything else */
    unsigned char bytes[16]; /* of the address; IPv4-mapped IPv6 is stored as IPv4 */
};

enum { PEER_TEXT = 64 };

/* From the address that accept(2) returned: getpeername(2) fails after the peer has reset the connection. */
struct peer peer_of_address(const struct sockaddr *address);

/* Whether limits count two peers as one: an IPv6 host owns a /64. Peers of unix sockets all differ; unknown peers are
   all the same. */
bool peer_is_same(const struct peer *a, const struct peer *b);

/* Whether the peer is on this host: over loopback or a unix socket. */
bool peer_is_local(const struct peer *peer);

void peer_print(const struct peer *peer, char text[PEER_TEXT]);

#endif
