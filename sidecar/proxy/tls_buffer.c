/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_buffer.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* As much as gathers (socket_watch.c). */
    BUFFER_BYTES = 128 * 1024,
};

struct tls_buffer {
    size_t start, end; /* of what is left */
    uint64_t taken;
    char bytes[BUFFER_BYTES];
};

static size_t n_buffers;

/* The BIO. OpenSSL's own, BIO_f_buffer(), loses the error of a socket that gave some bytes before. */

static int
read_bio(BIO *bio, char *bytes, int len)
{
    struct tls_buffer *b = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (b->start == b->end) {
        int n = BIO_read(BIO_next(bio), b->bytes, sizeof(b->bytes));
        BIO_copy_next_retry(bio);
        if (n <= 0)
            return n;
        b->start = 0;
        b->end = (size_t)n;
    }
    size_t n = (size_t)len < b->end - b->start ? (size_t)len : b->end - b->start;
    memcpy(bytes, b->bytes + b->start, n);
    b->start += n;
    b->taken += n;
    return (int)n;
}

static long
control_bio(BIO *bio, int what, long number, void *pointer)
{
    const struct tls_buffer *b = BIO_get_data(bio);
    if (what == BIO_CTRL_EOF && b->start < b->end)
        return 0;
    return BIO_next(bio) ? BIO_ctrl(BIO_next(bio), what, number, pointer) : 0;
}

static int
free_bio(BIO *bio)
{
    free(BIO_get_data(bio));
    n_buffers--;
    return 1;
}

/* Negative: there are no more. */
static int
bio_type(void)
{
    static int index = -1;
    if (index < 0)
        index = BIO_get_new_index();
    return index < 0 ? index : index | BIO_TYPE_FILTER;
}

/* NULL: out of memory. */
static const BIO_METHOD *
bio_method(void)
{
    static BIO_METHOD *method;
    if (method || bio_type() < 0)
        return method;
    method = BIO_meth_new(bio_type(), "buffer for TLS");
    if (method) {
        BIO_meth_set_read(method, read_bio);
        BIO_meth_set_ctrl(method, control_bio);
        BIO_meth_set_destroy(method, free_bio);
    }
    return method;
}

/* NULL: out of memory. */
static BIO *
bio_new(void)
{
    struct tls_buffer *b = malloc(sizeof(*b));
    BIO *bio = b && bio_method() ? BIO_new(bio_method()) : NULL;
    if (!bio) {
        free(b);
        ERR_clear_error();
        return NULL;
    }
    b->start = b->end = 0;
    b->taken = 0;
    BIO_set_data(bio, b);
    BIO_set_init(bio, 1);
    n_buffers++;
    return bio;
}

/* A connection's. */

SSL *
tls_of_transfer(CURL *easy)
{
    struct curl_tlssessioninfo *info = NULL;
    return !curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) && info && info->backend == CURLSSLBACKEND_OPENSSL
               ? info->internals
               : NULL;
}

/* NULL: there is none. */
static BIO *
bio_of(const SSL *tls)
{
    BIO *in = tls && n_buffers ? SSL_get_rbio(tls) : NULL;
    return in && BIO_method_type(in) == bio_type() ? in : NULL;
}

bool
tls_buffer_add(SSL *tls)
{
    BIO *in = SSL_get_rbio(tls), *buffer = bio_of(tls);
    if (buffer || !in)
        return buffer != NULL;
    buffer = bio_new();
    if (!buffer)
        return false;
    BIO_up_ref(in);
    SSL_set0_rbio(tls, BIO_push(buffer, in));
    return true;
}

void
tls_buffer_remove(SSL *tls)
{
    BIO *buffer = bio_of(tls);
    if (buffer)
        SSL_set0_rbio(tls, BIO_pop(buffer));
}

size_t
tls_buffers(void)
{
    return n_buffers;
}

size_t
tls_buffer_left(const SSL *tls)
{
    BIO *bio = bio_of(tls);
    const struct tls_buffer *b = bio ? BIO_get_data(bio) : NULL;
    return b ? b->end - b->start : 0;
}

uint64_t
tls_buffer_taken(const SSL *tls)
{
    BIO *bio = bio_of(tls);
    const struct tls_buffer *b = bio ? BIO_get_data(bio) : NULL;
    return b ? b->taken : 0;
}

BIO *
tls_buffer_replace_bio(SSL *tls, BIO *in)
{
    BIO *buffer = bio_of(tls), *before;
    if (buffer) {
        before = BIO_pop(buffer);
        BIO_push(buffer, in);
        return before;
    }
    before = SSL_get_rbio(tls);
    BIO_up_ref(before);
    SSL_set0_rbio(tls, in);
    return before;
}
