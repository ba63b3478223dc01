/* SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include "service/base/string_list.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The files. */

static int
fail(struct tls_error *error, enum tls_part part, const char *file, const char *expected)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = access(file, R_OK) ? strerror(errno) : ERR_reason_error_string(code);
    error->part = part;
    snprintf(error->reason, sizeof(error->reason), "%s (expected %s)", why ? why : "unreadable", expected);
    ERR_clear_error();
    return -1;
}

/* OpenSSL would wait for the writer of a FIFO. */
static int
check_regular(const char *file, enum tls_part part, struct tls_error *error)
{
    struct stat st;
    if (!file || stat(file, &st) || S_ISREG(st.st_mode))
        return 0;
    *error = (struct tls_error){part, "not a regular file"};
    return -1;
}

/* OpenSSL would prompt for a key's passphrase on the terminal. */
static int
no_passphrase(char *buffer, int size, int writing, void *ctx)
{
    (void)buffer, (void)size, (void)writing, (void)ctx;
    return 0;
}

/* OpenSSL parses a CA's extensions on first use; if out of memory then, it treats the CA as invalid for good. */
static bool
parse_ca_extensions(X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (authority && !X509_check_purpose(authority, -1, 0))
            return false;
    }
    return true;
}

static int
read_client_ca(SSL_CTX *ctx, const struct tls_settings *settings, struct tls_error *error)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(settings->client_ca);
    if (!names || !SSL_CTX_load_verify_locations(ctx, settings->client_ca, NULL) ||
        !parse_ca_extensions(SSL_CTX_get_cert_store(ctx))) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail(error, TLS_CLIENT_CA, settings->client_ca, "a PEM file with CA certificates");
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (settings->client_may_have_none ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT),
                       NULL);
    return 0;
}

static int
read_pair(SSL_CTX *ctx, const struct tls_settings *settings, struct tls_error *error)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, settings->certificate) != 1)
        return fail(error, TLS_CERTIFICATE, settings->certificate, "a PEM file with the certificate and its chain");
    if (SSL_CTX_use_PrivateKey_file(ctx, settings->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return fail(error, TLS_KEY, settings->key, "a PEM file with the certificate's key, without a passphrase");
    return 0;
}

static int
read_files(SSL_CTX *ctx, const struct tls_settings *settings, struct tls_error *error)
{
    ERR_clear_error();
    if (check_regular(settings->certificate, TLS_CERTIFICATE, error) || check_regular(settings->key, TLS_KEY, error) ||
        check_regular(settings->client_ca, TLS_CLIENT_CA, error) || read_pair(ctx, settings, error))
        return -1;
    return settings->client_ca ? read_client_ca(ctx, settings, error) : 0;
}

static bool
set_options(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET |
                                 SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) && SSL_CTX_set_num_tickets(ctx, 0) &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL");
}

int
tls_new(SSL_CTX **ctxp, const struct tls_settings *settings, struct tls_error *error)
{
    SSL_CTX *ctx = tls_init() ? NULL : SSL_CTX_new(TLS_server_method());
    if (!ctx || !set_options(ctx)) {
        *error = (struct tls_error){TLS_CERTIFICATE, "out of memory"};
        ERR_clear_error();
    } else if (!read_files(ctx, settings, error)) {
        *ctxp = ctx;
        return 0;
    }
    SSL_CTX_free(ctx);
    return -1;
}

static int64_t
expiry_of(const X509 *certificate)
{
    struct tm tm;
    return certificate && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) ? (int64_t)timegm(&tm) : INT64_MAX;
}

int64_t
tls_expiry(const SSL_CTX *ctx)
{
    STACK_OF(X509) *chain = NULL;
    int64_t first = expiry_of(SSL_CTX_get0_certificate(ctx));
    SSL_CTX_get0_chain_certs((SSL_CTX *)(uintptr_t)ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t expiry = expiry_of(sk_X509_value(chain, i));
        first = expiry < first ? expiry : first;
    }
    return first;
}

static int
read_client_files(SSL_CTX *ctx, const struct tls_settings *settings, struct tls_error *error)
{
    if (settings->client_ca && (!SSL_CTX_load_verify_locations(ctx, settings->client_ca, NULL) ||
                                !parse_ca_extensions(SSL_CTX_get_cert_store(ctx))))
        return fail(error, TLS_CLIENT_CA, settings->client_ca, "a PEM file with CA certificates");
    /* As libcurl does: an intermediate CA is enough. */
    X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return settings->certificate && settings->key ? read_pair(ctx, settings, error) : 0;
}

int
tls_client_new(SSL_CTX **ctxp, const struct tls_settings *settings, struct tls_error *error)
{
    int r = -1;
    ERR_clear_error();
    SSL_CTX *ctx = tls_init() ? NULL : SSL_CTX_new(TLS_client_method());
    if (ctx) {
        SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
        r = read_client_files(ctx, settings, error);
    } else {
        *error = (struct tls_error){TLS_CERTIFICATE, "out of memory"};
    }
    ERR_clear_error();
    if (r)
        SSL_CTX_free(ctx);
    else
        *ctxp = ctx;
    return r;
}

/* Connections. */

struct bufferevent *
tls_accept(SSL_CTX *ctx, struct event_base *base)
{
    SSL *ssl = SSL_new(ctx);
    struct bufferevent *bev =
        ssl ? bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (!bev)
        SSL_free(ssl);
    return bev;
}

bool
tls_is(struct bufferevent *bev)
{
    return bufferevent_openssl_get_ssl(bev) != NULL;
}

bool
tls_is_under(struct bufferevent *bev, const SSL_CTX *ctx)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    return ssl && SSL_get_SSL_CTX(ssl) == ctx;
}

const char *
tls_failure(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    unsigned long code = ssl && !SSL_is_init_finished(ssl) ? bufferevent_get_openssl_error(bev) : 0;
    return code ? ERR_reason_error_string(code) : NULL;
}

bool
tls_write_is_pending(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    return ssl && SSL_want_write(ssl);
}

/* libevent cannot change the priority of a pending event, such as a new socket's being writable. */
static void
set_priority(struct event *event, int priority)
{
    bool pending = event_pending(event, EV_READ | EV_WRITE, NULL);
    event_del(event);
    event_priority_set(event, priority);
    if (pending)
        (void)event_add(event, NULL); /* on failure the handshake stalls until its deadline */
}

bool
tls_set_priority(struct bufferevent *bev, int priority)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (!ssl || SSL_is_init_finished(ssl))
        return false;
    set_priority(&bev->ev_read, priority);
    set_priority(&bev->ev_write, priority);
    return true;
}

void
tls_send_close_notify(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (ssl && SSL_is_init_finished(ssl))
        SSL_shutdown(ssl);
    ERR_clear_error();
}

/* The client's certificate. */

/* Verifies as a handshake with the context would. */
static bool
is_valid_in(SSL *ssl, X509 *certificate, SSL_CTX *ctx)
{
    X509_STORE_CTX *store_ctx = X509_STORE_CTX_new();
    bool valid = false;
    if (store_ctx &&
        X509_STORE_CTX_init(store_ctx, SSL_CTX_get_cert_store(ctx), certificate, SSL_get_peer_cert_chain(ssl)) &&
        X509_STORE_CTX_set_default(store_ctx, "ssl_client")) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store_ctx), SSL_CTX_get_security_level(ctx));
        valid = X509_verify_cert(store_ctx) == 1;
    }
    X509_STORE_CTX_free(store_ctx);
    ERR_clear_error();
    return valid;
}

bool
tls_has_certificate(struct bufferevent *bev, SSL_CTX *ctx)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    X509 *certificate = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
        return false;
    return tls_is_under(bev, ctx) || is_valid_in(ssl, certificate, ctx);
}

/* string comes from a certificate and may contain any bytes. */
static bool
is_among(const ASN1_STRING *string, const struct string_list *names, bool ignore_case)
{
    const char *text = (const char *)ASN1_STRING_get0_data(string);
    size_t len = (size_t)ASN1_STRING_length(string);
    for (size_t i = 0; i < names->n; i++)
        if (strlen(names->items[i]) == len &&
            !(ignore_case ? strncasecmp(names->items[i], text, len) : memcmp(names->items[i], text, len)))
            return true;
    return false;
}

static bool
has_alternative_name(const X509 *certificate, const struct string_list *names)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        found = (name->type == GEN_DNS && is_among(name->d.dNSName, names, true)) ||
                (name->type == GEN_URI && is_among(name->d.uniformResourceIdentifier, names, false));
    }
    GENERAL_NAMES_free(all);
    return found;
}

static bool
has_common_name(const X509 *certificate, const struct string_list *names)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
        if (is_among(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), names, false))
            return true;
    return false;
}

bool
tls_has_name(struct bufferevent *bev, const struct string_list *names)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    const X509 *certificate = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    return certificate && (has_alternative_name(certificate, names) || has_common_name(certificate, names));
}
