/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

bool
upstream_tls_has_authorities(const SSL_CTX *tls)
{
    return tls && sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(tls))) > 0;
}

/* Into stores of their own: libcurl adds the system's authorities to the context's, perhaps later. */
static bool
apply_authorities(SSL_CTX *tls, SSL_CTX *ctx)
{
    X509_STORE *store = SSL_CTX_get_cert_store(tls);
    return SSL_CTX_set1_verify_cert_store(ctx, store) == 1 && SSL_CTX_set1_chain_cert_store(ctx, store) == 1;
}

static bool
apply_certificate(SSL_CTX *tls, SSL_CTX *ctx)
{
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(tls, &chain);
    return SSL_CTX_use_cert_and_key(ctx, SSL_CTX_get0_certificate(tls), SSL_CTX_get0_privatekey(tls), chain, 1) == 1;
}

int
upstream_tls_apply(SSL_CTX *tls, SSL_CTX *ctx)
{
    bool applied = !tls || ((!upstream_tls_has_authorities(tls) || apply_authorities(tls, ctx)) &&
                            (!SSL_CTX_get0_certificate(tls) || apply_certificate(tls, ctx)));
    ERR_clear_error();
    return applied ? 0 : -ENOMEM;
}
