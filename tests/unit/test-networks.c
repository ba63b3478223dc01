/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and peers: parsing and membership. */
#include "service/access/networks.h"
#include "service/base/peer.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static struct peer
peer_at(const char *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
        return peer_of_address((struct sockaddr *)&in);
    assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    return peer_of_address((struct sockaddr *)&in6);
}

static bool
is_in(const char *address, const char *text)
{
    struct network network;
    struct peer peer = peer_at(address);
    assert_null(network_read(&network, text));
    return network_contains(&network, &peer);
}

static void
test_is_in(void **state)
{
    (void)state;
    assert_true(is_in("10.255.0.1", "10.0.0.0/8"));
    assert_false(is_in("11.0.0.0", "10.0.0.0/8"));
    assert_true(is_in("192.0.2.7", "192.0.2.7"));
    assert_false(is_in("192.0.2.6", "192.0.2.7"));
    assert_true(is_in("192.0.2.7", "192.0.2.6/31"));
    assert_false(is_in("192.0.2.8", "192.0.2.6/31"));
    assert_true(is_in("172.31.0.0", "172.16.0.0/12"));
    assert_false(is_in("172.32.0.0", "172.16.0.0/12"));
    assert_true(is_in("1.2.3.4", "0.0.0.0/0"));
    assert_false(is_in("::1", "0.0.0.0/0"));
    assert_false(is_in("1.2.3.4", "::/0"));
    assert_true(is_in("fd00::1", "fd00::/8"));
    assert_true(is_in("2001:db8:0:1::5", "2001:db8:0:1::/64"));
    assert_false(is_in("2001:db8:0:2::5", "2001:db8:0:1::/64"));
    assert_true(is_in("2001:db8::f", "2001:db8::e/127"));
    /* IPv4-mapped, from a dual-stack socket. */
    assert_true(is_in("::ffff:10.1.2.3", "10.0.0.0/8"));
    assert_false(is_in("::ffff:10.1.2.3", "::/0"));
    assert_true(is_in("::ffff:10.1.2.3", "::ffff:10.0.0.0/104"));
    assert_true(is_in("10.1.2.3", "::ffff:10.1.2.3"));
    assert_false(is_in("11.1.2.3", "::ffff:10.0.0.0/104"));
    assert_true(is_in("10.1.2.3", "::ffff:0:0/96"));
}

/* Each prefix of an address contains it, and not the address that differs in the last bit of the prefix. */
static void
test_every_length(void **state)
{
    (void)state;
    for (unsigned bits = 1; bits <= 128; bits++) {
        struct network network = {.family = AF_INET6, .bits = bits};
        struct peer inside = {.family = AF_INET6}, outside = inside;
        memset(inside.bytes, 0xa5, 16);
        outside = inside;
        outside.bytes[(bits - 1) / 8] ^= (unsigned char)(0x80u >> (bits - 1) % 8);
        memcpy(network.bytes, inside.bytes, 16);
        assert_true(network_contains(&network, &inside));
        assert_false(network_contains(&network, &outside));
    }
}

static void
test_is_invalid(void **state)
{
    static const char *const none[] = {"",          "/",           "/8",
                                       "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
                                       "10.0.0/8",  "10.0.0.1/8",  "10.0.0.0/8 ",
                                       "localhost", "::/129",      "::1/127",
                                       "::g",       "1.2.3.4/0",   "10.0.0.0/0008",
                                       "[::1]",     "10.0.0.0:80", "fe80::1%eth0"};
    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (!network_read(NULL, none[i]))
            fail_msg("%s was accepted", none[i]);
}

static void
test_peers(void **state)
{
    const struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct peer a = peer_at("2001:db8::1"), b = peer_at("2001:db8::ffff:1"), c = peer_at("2001:db8:0:1::1");
    struct peer v4 = peer_at("10.0.0.1"), mapped = peer_at("::ffff:10.0.0.1"), other = peer_at("10.0.0.2");
    struct peer local = peer_of_address((const struct sockaddr *)&un);
    struct peer stranger = peer_of_address(&(struct sockaddr){.sa_family = AF_VSOCK});
    char text[PEER_TEXT];
    (void)state;
    assert_true(peer_is_same(&a, &b));
    assert_false(peer_is_same(&a, &c));
    assert_true(peer_is_same(&v4, &mapped));
    assert_false(peer_is_same(&v4, &other));
    assert_false(peer_is_same(&local, &local));
    assert_false(peer_is_same(&local, &stranger));
    assert_true(peer_is_same(&stranger, &stranger));
    peer_print(&mapped, text);
    assert_string_equal(text, "10.0.0.1");
    peer_print(&a, text);
    assert_string_equal(text, "2001:db8::1");
    peer_print(&stranger, text);
    assert_string_equal(text, "unknown");
    peer_print(&local, text);
    assert_string_equal(text, "unix");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_in),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_is_invalid),
        cmocka_unit_test(test_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
