/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_CLOSE_NOTIFY_H
#define PROXY_CLOSE_NOTIFY_H
/*
 * Whether the peer of a TLS connection sent a close_notify; without one the connection may have been truncated. libcurl
 * accepts any end; only OpenSSL knows the difference.
 *
 * The connection may outlive its watch: since 8.9 libcurl keeps connections that are being closed after their transfer.
 */
#include <openssl/types.h>
#include <stdbool.h>

struct close_notify {
    bool missing; /* none was received yet */
    struct close_notify_link *link;
};

/* Watches the connections of ctx, instead of any before and of any other watch. 0 or -ENOMEM. */
int close_notify_watch(struct close_notify *watch, SSL_CTX *ctx);

/* One that watches nothing is fine. */
void close_notify_unwatch(struct close_notify *watch);

#endif
