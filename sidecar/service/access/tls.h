/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TLS_H
#define SERVICE_TLS_H
/* TLS of a listener, by OpenSSL: 1.2 or later, ciphers with forward secrecy and authentication only, no compression, no
   renegotiation, and no resumption, so that each connection presents its certificate. */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bufferevent;
struct event_base;
struct string_list;

struct tls_settings {
    const char *certificate, *key; /* PEM files: the certificate with its chain, its private key */
    const char *client_ca;         /* PEM file: CAs that verify the peer's certificate; NULL: none is requested */
    bool client_may_have_none;     /* with client_ca: a handshake without one succeeds */
};

/* Which file is wrong, and why. */
struct tls_error {
    enum tls_part { TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_CA } part;
    char reason[200];
};

/*
 * Forces OpenSSL's lazy initialisation at startup, for both sides. If OpenSSL ran out of memory during it later, every
 * handshake of the process would fail from then on. 0 or -ENOMEM.
 */
int tls_init(void);

/* 0: the caller frees *ctxp with SSL_CTX_free(). -1: error says why. */
int tls_new(SSL_CTX **ctxp, const struct tls_settings *settings, struct tls_error *error);

/* The earliest expiry in a context's chain, in seconds since 1970. */
int64_t tls_expiry(const SSL_CTX *ctx);

/* The same for a client; certificate and key, or client_ca, the CAs of servers, may be NULL. */
int tls_client_new(SSL_CTX **ctxp, const struct tls_settings *settings, struct tls_error *error);

/* A bufferevent for a connection that is yet to be accepted. NULL: out of memory. */
struct bufferevent *tls_accept(SSL_CTX *ctx, struct event_base *base);

/* Whether a connection uses TLS; whether with this context; why its handshake failed, in static memory, or NULL, also
   from the second call on. */
bool tls_is(struct bufferevent *bev);
bool tls_is_under(struct bufferevent *bev, const SSL_CTX *ctx);
const char *tls_failure(struct bufferevent *bev);

/* Whether the socket has not taken all of a record: part of it may have gone, and the rest has to follow, although the
   output still holds all of its bytes. */
bool tls_write_is_pending(struct bufferevent *bev);

/* Sets the priority of a connection's handshake; after it libevent restores its own. False: no handshake in progress.
 */
bool tls_set_priority(struct bufferevent *bev, int priority);

/* Whether the client's certificate is valid in a context, its connection's or a later one; whether a DNS name or URI of
   its alternative names, or its common name, is one of these. */
bool tls_has_certificate(struct bufferevent *bev, SSL_CTX *ctx);
bool tls_has_name(struct bufferevent *bev, const struct string_list *names);

/* Without it the client takes what it received for truncated. Does nothing without TLS. */
void tls_send_close_notify(struct bufferevent *bev);

#endif
