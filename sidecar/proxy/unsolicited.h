/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UNSOLICITED_H
#define PROXY_UNSOLICITED_H
/*
 * Bytes that an upstream sent without a request, on a connection that is kept.
 *
 * libcurl takes a connection with unread bytes for alive, and those bytes for the response to the next request. They
 * show that the last response had a wrong length, or worse: such a connection must not be reused. (It also takes one
 * for alive that was reset, or that ended with a close_notify.)
 */
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

enum unsolicited {
    UNSOLICITED_NONE,
    UNSOLICITED_BLANK, /* CR and LF alone */
    UNSOLICITED_DATA,
};

enum unsolicited unsolicited_kind(const char *bytes, size_t len);

/*
 * Reads and drops what has arrived on a connection without TLS; sets what it was. False: the connection must not be
 * reused, or is closed; it was shut down, so that libcurl takes it for dead.
 */
bool unsolicited_drain(int fd, enum unsolicited *kind);

/*
 * The same over TLS. Only the peer's data is unsolicited: session tickets and new keys may come at any time. Without a
 * call of libcurl in progress that reads or writes.
 */
bool unsolicited_drain_tls(int fd, SSL *tls, enum unsolicited *kind);

/* Shuts a connection down. */
void unsolicited_shut(int fd);

#endif
