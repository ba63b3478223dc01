/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_TLS_BUFFER_H
#define PROXY_TLS_BUFFER_H
/*
 * A buffer between a connection's socket and its TLS, for bodies that come in many small records: OpenSSL reads each
 * record by two calls of recv(2), and its own read-ahead moves all that it has read for each (ssl3_read_n(), 3.0).
 *
 * Who has a buffer has to ask for what is left in it: the socket does not become readable for that.
 */
#include <curl/curl.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The TLS of the connection that a transfer uses; NULL: it has none, or not OpenSSL's. */
SSL *tls_of_transfer(CURL *easy);

/* Whether it has a buffer now; if not, there was no memory. */
bool tls_buffer_add(SSL *tls);

/* Frees it, and what is left in it. */
void tls_buffer_remove(SSL *tls);

/* How many there are. */
size_t tls_buffers(void);

/* How much was read from the socket that TLS has not taken yet. Without a buffer, or TLS: 0. */
size_t tls_buffer_left(const SSL *tls);

/* How much TLS has taken from its buffer since that was added. Without a buffer, or TLS: 0. */
uint64_t tls_buffer_taken(const SSL *tls);

/* TLS reads from another BIO, below its buffer if it has one. Takes over in, and returns the one before, which is the
   caller's. */
BIO *tls_buffer_replace_bio(SSL *tls, BIO *in);

#endif
