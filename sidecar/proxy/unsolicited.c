/* SPDX-License-Identifier: Apache-2.0 */
#include "unsolicited.h"

#include "tls_buffer.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

enum unsolicited
unsolicited_kind(const char *bytes, size_t len)
{
    size_t blank = 0;
    while (blank < len && (bytes[blank] == '\r' || bytes[blank] == '\n'))
        blank++;
    return blank < len ? UNSOLICITED_DATA : len ? UNSOLICITED_BLANK : UNSOLICITED_NONE;
}

/* More lines without anything in them are data: nobody may keep the loop busy with them. */
enum { BLANK_MAX = 64 * 1024 };

/* What has arrived so far. */
struct arrived {
    enum unsolicited *kind;
    size_t len;
};

/* False: it is known what it is. */
static bool
add_arrived(struct arrived *a, const char *bytes, size_t len)
{
    enum unsolicited more = unsolicited_kind(bytes, len);
    a->len += len;
    if (a->len > BLANK_MAX)
        more = UNSOLICITED_DATA;
    *a->kind = more > *a->kind ? more : *a->kind;
    return *a->kind != UNSOLICITED_DATA;
}

/* False: there is data, or the connection is closed or broken. */
static bool
read_bytes(int fd, enum unsolicited *kind)
{
    struct arrived arrived = {kind, 0};
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        if (!add_arrived(&arrived, bytes, (size_t)n))
            return false;
    return n < 0 && errno == EAGAIN;
}

/* What is unread could still be read after a shutdown, but no more arrives: Linux resets the peer that sends more. */
void
unsolicited_shut(int fd)
{
    char bytes[4096];
    shutdown(fd, SHUT_RDWR);
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

bool
unsolicited_drain(int fd, enum unsolicited *kind)
{
    *kind = UNSOLICITED_NONE;
    bool open = read_bytes(fd, kind);
    if (!open || *kind)
        unsolicited_shut(fd);
    return open && !*kind;
}

/* A record of which only the header has come is not pending, but shows as "RB", read body. */
static bool
is_between_records(const SSL *tls)
{
    return !tls_buffer_left(tls) && !SSL_has_pending(tls) && strcmp(SSL_rstate_string(tls), "RB") != 0;
}

/* Nothing has arrived since the last read, neither in a buffer nor on the socket. */
static bool
is_quiet(int fd, const SSL *tls)
{
    char byte;
    return is_between_records(tls) && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* False: there is data, or the connection is closed, broken, or in the middle of a record. */
static bool
read_records(SSL *tls, enum unsolicited *kind)
{
    struct arrived arrived = {kind, 0};
    char bytes[4096];
    int n;
    while ((n = SSL_read(tls, bytes, sizeof(bytes))) > 0)
        if (!add_arrived(&arrived, bytes, (size_t)n))
            return false;
    return SSL_get_error(tls, n) == SSL_ERROR_WANT_READ && is_between_records(tls);
}

/* libcurl's BIO and callbacks need a transfer, and this connection has none: meanwhile it reads from the socket itself.
 */
static bool
read_past_libcurl(int fd, SSL *tls, enum unsolicited *kind)
{
    SSL_CTX *ctx = SSL_get_SSL_CTX(tls);
    int (*on_session)(SSL *, SSL_SESSION *) = SSL_CTX_sess_get_new_cb(ctx);
    BIO *direct = BIO_new_socket(fd, BIO_NOCLOSE), *out = SSL_get_wbio(tls);
    if (!direct)
        return false;
    BIO_up_ref(out);
    BIO_up_ref(direct);
    SSL_set0_wbio(tls, direct);
    BIO *in = tls_buffer_replace_bio(tls, direct);
    SSL_CTX_sess_set_new_cb(ctx, NULL);
    bool open = read_records(tls, kind);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    BIO_free(tls_buffer_replace_bio(tls, in));
    SSL_set0_wbio(tls, out);
    ERR_clear_error();
    return open;
}

bool
unsolicited_drain_tls(int fd, SSL *tls, enum unsolicited *kind)
{
    *kind = UNSOLICITED_NONE;
    if (is_quiet(fd, tls))
        return true;
    bool open = read_past_libcurl(fd, tls, kind);
    if (!open || *kind)
        unsolicited_shut(fd);
    return open && !*kind;
}
