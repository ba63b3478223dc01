/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ACCESS_POLICY_H
#define SERVICE_ACCESS_POLICY_H
/*
 * The access policy of a listener: allowed networks, TLS, client certificates, passwords, a token. A request must
 * satisfy everything that is configured, but of password and token either is enough.
 *
 * Built with a configuration and reference-counted; each request is checked against the policy in force.
 */
#include "networks.h"
#include "passwords.h"
#include "service/base/string_list.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct bufferevent;
struct evhttp_request;
struct peer;

struct access_policy {
    unsigned references;
    SSL_CTX *tls;                    /* NULL: no TLS */
    bool certificate;                /* the client must present one */
    struct string_list client_names; /* of which it must have one; empty: any */
    struct network *networks;
    size_t n_networks; /* 0: any; unix sockets are always allowed */
    struct passwords *passwords;
    char *token; /* passwords, token: NULL: not accepted */
};

/* The response to a denied request. */
struct access_refusal {
    int status;
    const char *reason; /* static */
};

/* With one reference. NULL: out of memory. */
struct access_policy *access_policy_new(void);

/* NULL is fine for these two. */
struct access_policy *access_policy_ref(struct access_policy *policy);
void access_policy_unref(struct access_policy *policy);

/* Whether a client must identify itself by a certificate, a password or a token. */
bool access_requires_identity(const struct access_policy *policy);

bool access_allows_peer(const struct access_policy *policy, const struct peer *peer);

enum access_decision {
    ACCESS_GRANTED,
    ACCESS_DENIED,  /* see refusal */
    ACCESS_PENDING, /* verify and cache the credential, which is the caller's, then check again */
};

/* Once decided, removes an Authorization header that this policy uses, so that it is not forwarded. */
enum access_decision access_check(const struct access_policy *policy, struct evhttp_request *request,
                                  struct bufferevent *bev, struct credential *credential,
                                  struct access_refusal *refusal);

/* The refusal of a credential that does not match. */
struct access_refusal access_refuse(void);

/* Adds the WWW-Authenticate headers of a 401. */
void access_add_challenge(const struct access_policy *policy, struct evhttp_request *request);

#endif
