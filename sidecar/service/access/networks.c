/* SPDX-License-Identifier: Apache-2.0 */
#include "networks.h"

#include "service/base/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
has_same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned rest = bits % 8, mask = 0xff00u >> rest & 0xff;
    return !memcmp(a, b, bits / 8) && (!rest || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

/* Peers with IPv4-mapped addresses are IPv4 peers. */
static void
normalise(struct network *network)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (network->family != AF_INET6 || network->bits < 96 || memcmp(network->bytes, mapped, sizeof(mapped)) != 0)
        return;
    network->family = AF_INET;
    network->bits -= 96;
    memmove(network->bytes, network->bytes + 12, 4);
}

const char *
network_read(struct network *out, const char *text)
{
    static const char wrong[] =
        "is not a valid network (expected ADDRESS/BITS or ADDRESS, e.g. 10.0.0.0/8 or fd00::/8)";
    struct network network = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    unsigned max_bits = network.family == AF_INET6 ? 128 : 32;
    size_t len = strcspn(text, "/");
    const char *bits = text[len] ? text + len + 1 : NULL;
    char address[INET6_ADDRSTRLEN];

    if (len >= sizeof(address) || (bits && (!*bits || strlen(bits) > 3 || strspn(bits, "0123456789") != strlen(bits))))
        return wrong;
    snprintf(address, sizeof(address), "%.*s", (int)len, text);
    network.bits = bits ? (unsigned)atoi(bits) : max_bits;
    if (network.bits > max_bits || inet_pton(network.family, address, network.bytes) != 1)
        return wrong;

    struct network masked = network;
    for (unsigned i = network.bits; i < max_bits; i++)
        masked.bytes[i / 8] &= (unsigned char)~(0x80u >> i % 8);
    if (memcmp(masked.bytes, network.bytes, sizeof(masked.bytes)) != 0)
        return "has host bits set beyond the prefix length (expected e.g. 10.0.0.0/8, not 10.0.0.1/8)";
    normalise(&network);
    if (out)
        *out = network;
    return NULL;
}

bool
network_contains(const struct network *network, const struct peer *peer)
{
    return network->family == peer->family && has_same_prefix(network->bytes, peer->bytes, network->bits);
}
