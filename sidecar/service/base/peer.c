/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct peer
peer_of_address(const struct sockaddr *address)
{
    struct peer peer = {.family = address->sa_family == AF_UNIX ? AF_UNIX : AF_UNSPEC};
    if (address->sa_family == AF_INET) {
        peer.family = AF_INET;
        memcpy(peer.bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        bool is_v4 = IN6_IS_ADDR_V4MAPPED(in6);
        peer.family = is_v4 ? AF_INET : AF_INET6;
        memcpy(peer.bytes, in6->s6_addr + (is_v4 ? 12 : 0), is_v4 ? 4 : 16);
    }
    return peer;
}

bool
peer_is_same(const struct peer *a, const struct peer *b)
{
    return a->family == b->family && a->family != AF_UNIX && !memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 8);
}

bool
peer_is_local(const struct peer *peer)
{
    static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
    return peer->family == AF_UNIX || (peer->family == AF_INET && peer->bytes[0] == 127) ||
           (peer->family == AF_INET6 && !memcmp(peer->bytes, &loopback, sizeof(loopback)));
}

void
peer_print(const struct peer *peer, char text[PEER_TEXT])
{
    if (!inet_ntop(peer->family, peer->bytes, text, PEER_TEXT))
        snprintf(text, PEER_TEXT, "%s", peer->family == AF_UNIX ? "unix" : "unknown");
}
