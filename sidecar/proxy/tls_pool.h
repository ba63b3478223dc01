/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_TLS_POOL_H
#define PROXY_TLS_POOL_H
/*
 * Kept connections over TLS, and their sessions, by the settings under which the peer's certificate was verified and
 * ours was shown. libcurl does not compare what fetch_request.c puts into its contexts: it would reuse a connection of
 * other authorities, or of another client certificate.
 *
 * A pool goes with its settings: so neither connections nor sessions outlive a reload.
 */
#include <curl/curl.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <sys/queue.h>

struct tls_pool;

/* Of one upstream_new(); TAILQ_INIT() its list. */
struct tls_pools {
    TAILQ_HEAD(, tls_pool) list;
};

/*
 * The pool of these settings, for CURLOPT_SHARE; the caller holds a reference to them for as long. NULL: out of memory.
 *
 * After an hour its connections are closed and its sessions forgotten, so that the peer's certificate is verified
 * again: it may have expired, or the system's authorities may have been replaced.
 */
CURLSH *tls_pool_share(struct tls_pools *pools, SSL_CTX *settings);

/*
 * Whether sessions are kept and offered; whether one may have been offered. A pool stops resuming, for the rest of the
 * hour, when a handshake succeeded without a session after one that offered it had failed.
 */
bool tls_pool_resumes(const SSL_CTX *settings);
bool tls_pool_has_session(const SSL_CTX *settings);

/* A handshake has succeeded, perhaps some time ago; failed_before: after one that may have offered a session. */
void tls_pool_connected(const SSL_CTX *settings, bool failed_before);

/* Closes all of their connections, after the last transfer. */
void tls_pools_deinit(struct tls_pools *pools);

#endif
