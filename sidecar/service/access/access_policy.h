/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ACCESS_POLICY_H
#define SERVICE_ACCESS_POLICY_H
/*
 * Who may come in at a listener: from which networks, over TLS, with which certificate, password or token. What is
 * configured has to be fulfilled all together; but a password and a token are two ways to do the same.
 *
 * A door is made with a configuration, and counted: connections go through the one in force when they ask.
 */
#include "service/config/config.h"
#include "networks.h"
#include "passwords.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct bufferevent;
struct evhttp_request;
struct peer;

struct door {
    unsigned references;
    SSL_CTX *tls;              /* NULL: there is none */
    bool certificate;          /* the client has to show one */
    struct texts client_names; /* of which it has to have one; none: any will do */
    struct network *networks;
    size_t n_networks; /* 0: all, and unix sockets in any case */
    struct passwords *passwords;
    char *token; /* passwords, token: NULL: none */
};

/* How a request's answer begins that is not let in. */
struct door_refusal {
    int status;
    const char *reason; /* static */
};

/* With one reference. NULL for want of memory. */
struct door *door_new(void);

/* NULL is fine for these two. */
struct door *door_ref(struct door *door);
void door_unref(struct door *door);

/* Whether a client has to show who it is: by a certificate, a password or a token. */
bool door_asks(const struct door *door);

bool door_knows(const struct door *door, const struct peer *peer);

enum door_verdict {
    DOOR_OPEN,
    DOOR_SHUT, /* refusal tells why */
    DOOR_ASK,  /* the credential, which is the caller's, is to be matched and noted; then the request asks again */
};

/* Whether a request may come in. Its Authorization is taken away if it was meant for the door, and that has decided. */
enum door_verdict door_check(const struct door *door, struct evhttp_request *request, struct bufferevent *bev,
                             struct credential *credential, struct door_refusal *refusal);

/* What is to be said of a credential that does not match. */
struct door_refusal door_refuse(void);

/* Adds what a 401 has to say of how to come in. */
void door_challenge(const struct door *door, struct evhttp_request *request);

#endif
