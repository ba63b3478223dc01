/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PASSWORDS_H
#define SERVICE_PASSWORDS_H
/*
 * Users and bcrypt hashes of their passwords, from a file as htpasswd -B writes it: lines of USER:HASH; # starts a
 * comment.
 *
 * bcrypt is slow on purpose: tens of milliseconds of CPU and more. So a credential is cached once verified, as a hash
 * keyed with a secret of this table, and then costs a microsecond.
 */
#include <stdbool.h>
#include <stddef.h>

struct passwords;

/* The user and password of a request. */
struct credential {
    unsigned char digest[32]; /* keyed */
    char *password;           /* secret_free() */
    const char *hash;         /* borrowed: to verify against; for an unknown user that of some other */
    bool known;               /* the user exists */
};

struct passwords_error {
    int line; /* 0: the file as a whole */
    char reason[160];
};

/* 0: *passwordsp is the caller's, with one reference. -1: error says why. */
int passwords_read(struct passwords **passwordsp, const char *path, struct passwords_error *error);

/* Drops a reference; the last one frees. NULL is fine. */
void passwords_unref(struct passwords *passwords);

/*
 * After a reload: keeps the cache of verified credentials if all users and hashes are unchanged, by replacing
 * *passwordsp with a new reference to before. NULL is fine for both.
 */
void passwords_inherit_cache(struct passwords **passwordsp, struct passwords *before);

/* Parses what follows "Basic " in an Authorization header. 0: *credential is the caller's. -1: malformed, or out of
   memory. */
int passwords_decode(const struct passwords *passwords, struct credential *credential, const char *base64);

void credential_deinit(struct credential *credential);

/* is_cached(): verified before? cache(): remember that it was, instead of the user's last one. */
bool passwords_is_cached(const struct passwords *passwords, const struct credential *credential);
void passwords_cache(struct passwords *passwords, const struct credential *credential);

/* Verifies the password with crypt(3): slow, equally so for an unknown user, and thread-safe. False also when out of
   memory. */
bool credential_matches(const struct credential *credential);

#endif
