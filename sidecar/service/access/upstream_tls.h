/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_UPSTREAM_TLS_H
#define SERVICE_UPSTREAM_TLS_H
/* The authorities and the client certificate for an upstream. They are read with the configuration (tls_client_new()),
   and connections use what was read: so a bad file changes nothing. */
#include <openssl/types.h>
#include <stdbool.h>

enum {
    /* Of a file of authorities; Debian's has 0.2 MiB. */
    UPSTREAM_CA_MAX = 4 * 1024 * 1024,
};

/* Whether tls has authorities of its own, which replace the system's. NULL has none. */
bool upstream_tls_has_authorities(const SSL_CTX *tls);

/* Gives the connections of ctx the certificate and the authorities of tls; NULL has neither. 0 or -ENOMEM. */
int upstream_tls_apply(SSL_CTX *tls, SSL_CTX *ctx);

#endif
