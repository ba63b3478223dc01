/* SPDX-License-Identifier: Apache-2.0 */
#include "access_policy.h"

#include "service/config/config_build.h"
#include "service/base/peer.h"
#include "secrets.h"
#include "tls.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

struct door *
door_new(void)
{
    struct door *door = calloc(1, sizeof(*door));
    if (door)
        door->references = 1;
    return door;
}

struct door *
door_ref(struct door *door)
{
    if (door)
        door->references++;
    return door;
}

void
door_unref(struct door *door)
{
    if (!door || --door->references)
        return;
    SSL_CTX_free(door->tls);
    texts_clear(&door->client_names);
    free(door->networks);
    passwords_unref(door->passwords);
    secret_free(door->token);
    free(door);
}

bool
door_asks(const struct door *door)
{
    return door->certificate || door->passwords || door->token;
}

bool
door_knows(const struct door *door, const struct peer *peer)
{
    if (!door->n_networks || peer->family == AF_UNIX)
        return true;
    for (size_t i = 0; i < door->n_networks; i++)
        if (network_has(&door->networks[i], peer))
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

/* What is behind a scheme and blanks, or NULL. */
static const char *
behind(const char *authorization, const char *scheme)
{
    size_t len = strlen(scheme);
    if (!authorization || strncasecmp(authorization, scheme, len) != 0 || authorization[len] != ' ')
        return NULL;
    return authorization + len + strspn(authorization + len, " ");
}

/* Whether two texts are the same, in a time that tells nothing of either. */
static bool
is_same(const char *a, const char *b)
{
    unsigned char of_a[SHA256_DIGEST_LENGTH], of_b[SHA256_DIGEST_LENGTH];
    return SHA256((const unsigned char *)a, strlen(a), of_a) && SHA256((const unsigned char *)b, strlen(b), of_b) &&
           !CRYPTO_memcmp(of_a, of_b, sizeof(of_a));
}

static enum door_verdict
check_authorization(const struct door *door, const char *authorization, struct credential *credential,
                    struct door_refusal *refusal)
{
    const char *token = behind(authorization, "Bearer"), *basic = behind(authorization, "Basic");
    *refusal = door_refuse();
    if (door->token && token)
        return is_same(door->token, token) ? DOOR_OPEN : DOOR_SHUT;
    if (!door->passwords || !basic || passwords_decode(door->passwords, credential, basic))
        return DOOR_SHUT;
    if (!passwords_remember(door->passwords, credential))
        return DOOR_ASK;
    credential_deinit(credential);
    return DOOR_OPEN;
}

enum door_verdict
door_check(const struct door *door, struct evhttp_request *request, struct bufferevent *bev,
           struct credential *credential, struct door_refusal *refusal)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);

    if (door->certificate && !tls_has_certificate(bev, door->tls)) {
        *refusal = (struct door_refusal){403, "a client certificate of the authorities in force is needed here"};
        return DOOR_SHUT;
    }
    if (door->client_names.n && !tls_has_name(bev, &door->client_names)) {
        *refusal = (struct door_refusal){403, "the client certificate has none of the names that may come in here"};
        return DOOR_SHUT;
    }
    if (!door->passwords && !door->token)
        return DOOR_OPEN;
    enum door_verdict verdict = check_authorization(door, find_authorization(headers), credential, refusal);
    while (verdict != DOOR_ASK && !evhttp_remove_header(headers, "Authorization"))
        ;
    return verdict;
}

struct door_refusal
door_refuse(void)
{
    return (struct door_refusal){401, "the credentials are missing or wrong"};
}

void
door_challenge(const struct door *door, struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    if (door->passwords)
        evhttp_add_header(headers, "WWW-Authenticate", "Basic realm=\"scrapeshard\", charset=\"UTF-8\"");
    if (door->token)
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer realm=\"scrapeshard\"");
}
