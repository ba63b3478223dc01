/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TLS_H
#define SERVICE_TLS_H
/* TLS of a listener, by OpenSSL: 1.2 and up, ciphers with forward secrecy and authentication only, no compression, no
   renegotiation, no resumption, so that each connection shows its certificate anew. */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bufferevent;
struct event_base;
struct string_list;

struct tls_settings {
    const char *certificate, *key; /* PEM files: the certificate with its chain, its private key */
    const char *client_ca;     /* PEM file: whose certificates of the other side are good; NULL: none is asked for */
    bool client_may_have_none; /* with client_ca: the handshake does not fail without one */
};

/* What cannot be had of which file. */
struct tls_error {
    enum tls_part { TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_CA } part;
    char reason[200];
};

/*
 * Has OpenSSL make, once, all that it otherwise makes for the first connection, on either side. What it has no memory
 * for then it does without from then on: every handshake of the process would fail. 0 or -ENOMEM.
 */
int tls_begin(void);

/* 0: *ctxp is the caller's, for SSL_CTX_free(). -1: error says why. */
int tls_new(SSL_CTX **ctxp, const struct tls_settings *settings, struct tls_error *error);

/* When the first certificate of a context's chain expires, in seconds since 1970. */
int64_t tls_expiry(const SSL_CTX *ctx);

/* Reads the files that a client would show and believe, of which certificate and key, or client_ca, may be NULL;
 *expiry as above. 0. -1: error says why. */
int tls_check(const struct tls_settings *settings, int64_t *expiry, struct tls_error *error);

/* A bufferevent for a connection yet to be accepted. NULL for want of memory. */
struct bufferevent *tls_accept(SSL_CTX *ctx, struct event_base *base);

/* Whether a connection is TLS's; whether under this context; why its handshake failed, in static memory, or NULL: told
   once. */
bool tls_is(struct bufferevent *bev);
bool tls_is_under(struct bufferevent *bev, const SSL_CTX *ctx);
const char *tls_failure(struct bufferevent *bev);

/* Gives a connection's handshake a priority, up to its end, behind which libevent sets its own. False: it is at its
   end, or there is none. */
bool tls_set_priority(struct bufferevent *bev, int priority);

/* Whether the client showed a certificate that is good under a context, its connection's or a later one; whether it has
   one of some names: a DNS name or URI of its alternative names, or its common name. */
bool tls_has_certificate(struct bufferevent *bev, SSL_CTX *ctx);
bool tls_has_name(struct bufferevent *bev, const struct string_list *names);

/* Tells the client that all was said: what ends without that was cut. Nothing without TLS. */
void tls_send_close_notify(struct bufferevent *bev);

#endif
