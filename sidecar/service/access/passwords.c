/* SPDX-License-Identifier: Apache-2.0 */
#include "passwords.h"

#include "secrets.h"
#include "service/base/utf8.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    HASH_LEN = 60,
    /* Cost 14 takes about a second; above that one attempt would delay the others for too long. */
    COST_MIN = 4,
    COST_MAX = 14,
};

struct user {
    char *name, hash[HASH_LEN + 1];
    bool verified;
    unsigned char digest[32]; /* of the credential that was */
};

struct passwords {
    unsigned references;
    struct user *users;
    size_t n;
    unsigned char key[32];
};

/* The file. */

__attribute__((format(printf, 3, 4))) static int
fail(struct passwords_error *error, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->line = line;
    vsnprintf(error->reason, sizeof(error->reason), format, args);
    va_end(args);
    return -1;
}

static bool
is_bcrypt(const char *hash)
{
    static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return strlen(hash) == HASH_LEN && !strncmp(hash, "$2", 2) && strchr("aby", hash[2]) && hash[3] == '$' &&
           strspn(hash + 4, "0123456789") == 2 && hash[6] == '$' && strspn(hash + 7, alphabet) == HASH_LEN - 7;
}

static int
add_user(struct passwords *p, char *line, int number, struct passwords_error *error)
{
    char *hash = strchr(line, ':');
    if (!hash || hash == line)
        return fail(error, number, "expected USER:HASH");
    *hash++ = 0;
    if (!is_bcrypt(hash))
        return fail(error, number, "expected a bcrypt hash after ':' (see htpasswd -B)");
    int cost = atoi(hash + 4);
    if (cost < COST_MIN || cost > COST_MAX)
        return fail(error, number, "bcrypt cost %d is out of range (expected %d to %d)", cost, COST_MIN, COST_MAX);
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->users[i].name, line))
            return fail(error, number, "duplicate user");

    struct user *users = realloc(p->users, (p->n + 1) * sizeof(*users));
    char *name = strdup(line);
    if (users)
        p->users = users;
    if (!users || !name) {
        free(name);
        return fail(error, 0, "%s", strerror(ENOMEM));
    }
    users[p->n] = (struct user){.name = name};
    strcpy(users[p->n++].hash, hash);
    return 0;
}

static int
read_users(struct passwords *p, FILE *file, struct passwords_error *error)
{
    char line[1024];
    int r = 0;
    for (int number = 1; !r && fgets(line, sizeof(line), file); number++) {
        size_t len = strlen(line);
        if (len + 1 == sizeof(line))
            return fail(error, number, "line longer than 1022 bytes");
        while (len && strchr(" \t\r\n", line[len - 1]))
            line[--len] = 0;
        char *text = line + (number == 1 ? utf8_mark_len(line) : 0);
        if (*text && *text != '#')
            r = add_user(p, text, number, error);
    }
    if (!r && ferror(file))
        return fail(error, 0, "%s", strerror(errno));
    return r || p->n ? r : fail(error, 0, "file contains no users");
}

int
passwords_read(struct passwords **passwordsp, const char *path, struct passwords_error *error)
{
    const char *wrong = NULL;
    struct passwords *p = calloc(1, sizeof(*p));
    FILE *file = p ? secret_open(path, &wrong) : NULL;
    int r = -1;

    if (p)
        p->references = 1;
    if (!p)
        fail(error, 0, "%s", strerror(ENOMEM));
    else if (!file)
        fail(error, 0, "%s", wrong);
    else if (RAND_bytes(p->key, sizeof(p->key)) != 1)
        fail(error, 0, "cannot obtain random bytes");
    else
        r = read_users(p, file, error);
    if (file)
        fclose(file);
    if (r)
        passwords_unref(p);
    else
        *passwordsp = p;
    return r;
}

void
passwords_unref(struct passwords *p)
{
    if (!p || --p->references)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->users[i].name);
    OPENSSL_cleanse(p->users, p->n * sizeof(*p->users));
    free(p->users);
    OPENSSL_cleanse(p, sizeof(*p));
    free(p);
}

static bool
have_same_users(const struct passwords *a, const struct passwords *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same; i++)
        same = !strcmp(a->users[i].name, b->users[i].name) && !strcmp(a->users[i].hash, b->users[i].hash);
    return same;
}

void
passwords_inherit_cache(struct passwords **pp, struct passwords *before)
{
    if (!*pp || !before || !have_same_users(*pp, before))
        return;
    passwords_unref(*pp);
    *pp = before;
    before->references++;
}

/* Credentials. */

/* Decoded base64. */
struct decoded {
    char *text; /* NUL-terminated */
    size_t len, size;
};

/* Wipes the whole buffer, beyond the text too. */
static void
decoded_deinit(struct decoded *d)
{
    if (d->text)
        OPENSSL_cleanse(d->text, d->size);
    free(d->text);
}

/* False: not base64, or out of memory. The caller frees *d in any case. */
static bool
decode(struct decoded *d, const char *base64)
{
    size_t len = strlen(base64), pad = 0;
    *d = (struct decoded){NULL, 0, len / 4 * 3 + 1};
    if (!len || len % 4 || len > 4096)
        return false;
    while (pad < 2 && base64[len - 1 - pad] == '=')
        pad++;
    d->text = malloc(d->size);
    int n = d->text ? EVP_DecodeBlock((unsigned char *)d->text, (const unsigned char *)base64, (int)len) : -1;
    if (n < (int)pad)
        return false;
    d->len = (size_t)n - pad;
    d->text[d->len] = 0;
    return true;
}

/* An unknown user gets the hash of some other, always the same, so that timing does not reveal who exists. */
static bool
find_hash(const struct passwords *p, struct credential *c, const char *name)
{
    unsigned char digest[32];
    unsigned digest_len = sizeof(digest);
    uint64_t number;

    if (!HMAC(EVP_sha256(), p->key, sizeof(p->key), (const unsigned char *)name, strlen(name), digest, &digest_len))
        return false;
    memcpy(&number, digest, sizeof(number));
    c->hash = p->users[number % p->n].hash;
    for (size_t i = 0; i < p->n; i++) {
        if (!strcmp(p->users[i].name, name)) {
            c->hash = p->users[i].hash;
            c->known = true;
        }
    }
    return true;
}

int
passwords_decode(const struct passwords *p, struct credential *c, const char *base64)
{
    struct decoded d;
    unsigned digest_len = sizeof(c->digest);
    char *colon = decode(&d, base64) ? memchr(d.text, ':', d.len) : NULL;

    *c = (struct credential){.password = NULL};
    if (colon && !memchr(d.text, 0, d.len) &&
        HMAC(EVP_sha256(), p->key, sizeof(p->key), (unsigned char *)d.text, d.len, c->digest, &digest_len)) {
        *colon = 0;
        if (find_hash(p, c, d.text))
            c->password = strdup(colon + 1);
    }
    decoded_deinit(&d);
    return c->password ? 0 : -1;
}

void
credential_deinit(struct credential *c)
{
    secret_free(c->password);
    c->password = NULL;
}

bool
passwords_is_cached(const struct passwords *p, const struct credential *c)
{
    bool found = false;
    for (const struct user *u = p->users; u < p->users + p->n; u++)
        found |= u->verified && !CRYPTO_memcmp(u->digest, c->digest, sizeof(c->digest));
    return found;
}

void
passwords_cache(struct passwords *p, const struct credential *c)
{
    for (struct user *u = p->users; c->known && u < p->users + p->n; u++) {
        if (c->hash != u->hash)
            continue;
        memcpy(u->digest, c->digest, sizeof(u->digest));
        u->verified = true;
    }
}

bool
credential_matches(const struct credential *c)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    const char *made = data ? crypt_rn(c->password, c->hash, data, sizeof(*data)) : NULL;
    bool same = made && strlen(made) == HASH_LEN && !CRYPTO_memcmp(made, c->hash, HASH_LEN);
    if (data)
        OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return same && c->known;
}
