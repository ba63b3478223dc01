/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_buffer.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum {
    /* As much as gathers (socket_watch.c). */
    BUFFER_BYTES = 128 * 1024,
};

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
buffer_of(const SSL *tls)
{
    BIO *in = tls ? SSL_get_rbio(tls) : NULL;
    return in && BIO_method_type(in) == BIO_TYPE_BUFFER ? in : NULL;
}

bool
tls_buffer_add(SSL *tls)
{
    BIO *in = SSL_get_rbio(tls), *buffer = buffer_of(tls);
    if (buffer || !in)
        return buffer != NULL;
    buffer = BIO_new(BIO_f_buffer());
    if (!buffer || BIO_set_read_buffer_size(buffer, BUFFER_BYTES) <= 0) {
        BIO_free(buffer);
        ERR_clear_error();
        return false;
    }
    BIO_up_ref(in);
    SSL_set0_rbio(tls, BIO_push(buffer, in));
    return true;
}

size_t
tls_buffered(const SSL *tls)
{
    BIO *buffer = buffer_of(tls);
    return buffer ? BIO_ctrl_pending(buffer) : 0;
}

uint64_t
tls_buffer_taken(const SSL *tls)
{
    BIO *buffer = buffer_of(tls);
    return buffer ? BIO_number_read(buffer) : 0;
}

BIO *
tls_buffer_replace_bio(SSL *tls, BIO *in)
{
    BIO *buffer = buffer_of(tls), *before;
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

void
tls_buffer_remove(SSL *tls)
{
    BIO *buffer = buffer_of(tls);
    if (buffer && !BIO_ctrl_pending(buffer))
        SSL_set0_rbio(tls, BIO_pop(buffer));
}
