/* SPDX-License-Identifier: Apache-2.0 */
#include "access_policy.h"

#include "secrets.h"
#include "service/base/peer.h"
#include "tls.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

struct access_policy *
access_policy_new(void)
{
    struct access_policy *policy = calloc(1, sizeof(*policy));
    if (policy)
        policy->references = 1;
    return policy;
}

struct access_policy *
access_policy_ref(struct access_policy *policy)
{
    if (policy)
        policy->references++;
    return policy;
}

void
access_policy_unref(struct access_policy *policy)
{
    if (!policy || --policy->references)
        return;
    SSL_CTX_free(policy->tls);
    string_list_clear(&policy->client_names);
    free(policy->networks);
    passwords_unref(policy->passwords);
    secret_free(policy->token);
    free(policy);
}

bool
access_requires_identity(const struct access_policy *policy)
{
    return policy->certificate || policy->passwords || policy->token;
}

bool
access_allows_peer(const struct access_policy *policy, const struct peer *peer)
{
    if (!policy->n_networks || peer->family == AF_UNIX)
        return true;
    for (size_t i = 0; i < policy->n_networks; i++)
        if (network_contains(&policy->networks[i], peer))
            return true;
    return false;
}

/* The Authorization header; NULL if there is none, "" if there are several. */
static const char *
find_authorization(const struct evkeyvalq *headers)
{
    const struct evkeyval *h;
    const char *found = NULL;
    TAILQ_FOREACH (h, headers, next)
        if (!strcasecmp(h->key, "Authorization"))
            found = found ? "" : h->value;
    return found;
}

/* What follows the scheme and blanks, or NULL. */
static const char *
after_scheme(const char *authorization, const char *scheme)
{
    size_t len = strlen(scheme);
    if (!authorization || strncasecmp(authorization, scheme, len) != 0 || authorization[len] != ' ')
        return NULL;
    return authorization + len + strspn(authorization + len, " ");
}

/* Compares two texts in constant time. */
static bool
is_same(const char *a, const char *b)
{
    unsigned char of_a[SHA256_DIGEST_LENGTH], of_b[SHA256_DIGEST_LENGTH];
    return SHA256((const unsigned char *)a, strlen(a), of_a) && SHA256((const unsigned char *)b, strlen(b), of_b) &&
           !CRYPTO_memcmp(of_a, of_b, sizeof(of_a));
}

static enum access_decision
check_authorization(const struct access_policy *policy, const char *authorization, struct credential *credential,
                    struct access_refusal *refusal)
{
    const char *token = after_scheme(authorization, "Bearer"), *basic = after_scheme(authorization, "Basic");
    *refusal = access_refuse();
    if (policy->token && token)
        return is_same(policy->token, token) ? ACCESS_GRANTED : ACCESS_DENIED;
    if (!policy->passwords || !basic || passwords_decode(policy->passwords, credential, basic))
        return ACCESS_DENIED;
    if (!passwords_is_cached(policy->passwords, credential))
        return ACCESS_PENDING;
    credential_deinit(credential);
    return ACCESS_GRANTED;
}

enum access_decision
access_check(const struct access_policy *policy, struct evhttp_request *request, struct bufferevent *bev,
             struct credential *credential, struct access_refusal *refusal)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);

    if (policy->certificate && !tls_has_certificate(bev, policy->tls)) {
        *refusal = (struct access_refusal){403, "a client certificate issued by a trusted CA is required"};
        return ACCESS_DENIED;
    }
    if (policy->client_names.n && !tls_has_name(bev, &policy->client_names)) {
        *refusal = (struct access_refusal){403, "client certificate name not allowed"};
        return ACCESS_DENIED;
    }
    if (!policy->passwords && !policy->token)
        return ACCESS_GRANTED;
    enum access_decision decision = check_authorization(policy, find_authorization(headers), credential, refusal);
    while (decision != ACCESS_PENDING && !evhttp_remove_header(headers, "Authorization"))
        ;
    return decision;
}

struct access_refusal
access_refuse(void)
{
    return (struct access_refusal){401, "missing or wrong credentials"};
}

void
access_add_challenge(const struct access_policy *policy, struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    if (policy->passwords)
        evhttp_add_header(headers, "WWW-Authenticate", "Basic realm=\"scrapeshard\", charset=\"UTF-8\"");
    if (policy->token)
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer realm=\"scrapeshard\"");
}
