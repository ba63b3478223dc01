/* SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

enum {
    /* More than a handshake has flights. */
    ROUNDS_MAX = 8,
};

static X509 *
make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    if (certificate && X509_set_version(certificate, X509_VERSION_3) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) && X509_set_pubkey(certificate, key) &&
        X509_sign(certificate, key, EVP_sha256()))
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* Runs both sides of a handshake of that version in memory. */
static bool
shake_hands(SSL_CTX *server, SSL_CTX *client, int version)
{
    SSL *ours = SSL_new(server), *theirs = SSL_new(client);
    BIO *near = NULL, *far = NULL;
    bool done = false;

    if (ours && theirs && SSL_set_max_proto_version(theirs, version) && BIO_new_bio_pair(&near, 0, &far, 0)) {
        SSL_set_bio(ours, near, near);
        SSL_set_bio(theirs, far, far);
        SSL_set_accept_state(ours);
        SSL_set_connect_state(theirs);
        for (int i = 0; i < ROUNDS_MAX && !done; i++) {
            SSL_do_handshake(theirs);
            SSL_do_handshake(ours);
            done = SSL_is_init_finished(theirs) && SSL_is_init_finished(ours);
        }
    }
    SSL_free(ours);
    SSL_free(theirs);
    return done;
}

int
tls_init(void)
{
    static bool done;
    if (done)
        return 0;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_certificate(key) : NULL;
    SSL_CTX *server = SSL_CTX_new(TLS_server_method()), *client = SSL_CTX_new(TLS_client_method());

    done = certificate && server && client && SSL_CTX_use_certificate(server, certificate) == 1 &&
           SSL_CTX_use_PrivateKey(server, key) == 1 && shake_hands(server, client, TLS1_2_VERSION) &&
           shake_hands(server, client, TLS1_3_VERSION);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return done ? 0 : -ENOMEM;
}
