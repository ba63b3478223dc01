/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ACCESS_POLICY_H
#define SERVICE_ACCESS_POLICY_H
/*
 * Who may come in at a listener: from which networks, over TLS, with which certificate, password or token. What is
 * configured has to be fulfilled all together; but a password and a token are two ways to do the same.
 *
 * A door is made with a configuration, and counted: connections go through the one in force when they ask.
 */
#include "networks.h"
#include "passwords.h"
#include "service/config/config.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct bufferevent;
struct evhttp_request;
struct peer;

struct access_policy {
    unsigned references;
    SSL_CTX *tls;                    /* NULL: there is none */
    bool certificate;                /* the client has to show one */
    struct string_list client_names; /* of which it has to have one; none: any will do */
    struct network *networks;
    size_t n_networks; /* 0: all, and unix sockets in any case */
    struct passwords *passwords;
    char *token; /* passwords, token: NULL: none */
};

/* How a request's answer begins that is not let in. */
struct access_refusal {
    int status;
    const char *reason; /* static */
};

/* With one reference. NULL for want of memory. */
struct access_policy *access_policy_new(void);

/* NULL is fine for these two. */
struct access_policy *access_policy_ref(struct access_policy *policy);
void access_policy_unref(struct access_policy *policy);

/* Whether a client has to show who it is: by a certificate, a password or a token. */
bool door_asks(const struct access_policy *policy);

bool access_allows_peer(const struct access_policy *policy, const struct peer *peer);

enum access_decision {
    ACCESS_GRANTED,
    ACCESS_DENIED,  /* refusal tells why */
    ACCESS_PENDING, /* the credential, which is the caller's, is to be matched and noted; then the request asks again */
};

/* Whether a request may come in. Its Authorization is taken away if it was meant for the door, and that has decided. */
enum access_decision access_check(const struct access_policy *policy, struct evhttp_request *request,
                                  struct bufferevent *bev, struct credential *credential,
                                  struct access_refusal *refusal);

/* What is to be said of a credential that does not match. */
struct access_refusal access_refuse(void);

/* Adds what a 401 has to say of how to come in. */
void access_add_challenge(const struct access_policy *policy, struct evhttp_request *request);

#endif
