/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_CLOSE_NOTIFY_H
#define PROXY_CLOSE_NOTIFY_H
/*
 * Whether the peer of a TLS connection has said that it ends (close_notify), so that nobody has cut it. libcurl takes
 * any end for one that the peer wanted; only OpenSSL hears whether it said so.
 *
 * The connection may outlive who watches it: from 8.9 on libcurl lets closed connections live on after their transfer.
 */
#include <openssl/types.h>
#include <stdbool.h>

struct close_notify {
    bool missing; /* none has come over the connection that is watched */
    struct close_notify_link *link;
};

/* Watches the connections of ctx, instead of those before. 0 or -ENOMEM. */
int close_notify_watch(struct close_notify *watch, SSL_CTX *ctx);

/* Watches no more; one that does not is fine. */
void close_notify_leave(struct close_notify *watch);

#endif
