/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PASSWORDS_H
#define SERVICE_PASSWORDS_H
/*
 * Users and the bcrypt hashes of their passwords, from a file as htpasswd -B makes it: USER:HASH, one a line; # begins
 * a comment.
 *
 * bcrypt is slow on purpose: hundredths of a second of CPU and more. So a credential that was found good once is
 * remembered, by a hash keyed with a secret of this table, and costs a microsecond from then on.
 */
#include <stdbool.h>
#include <stddef.h>

struct passwords;

/* What a request shows: a user and his password. */
struct credential {
    unsigned char digest[32]; /* keyed */
    char *password;           /* secret_free() */
    const char *hash;         /* borrowed: to be matched; that of another, any, where there is no such user */
    bool known;               /* there is such a user */
};

struct passwords_error {
    int line; /* 0: the file as a whole */
    char reason[160];
};

/* 0: *passwordsp is the caller's, with one reference. -1: error says why. */
int passwords_read(struct passwords **passwordsp, const char *path, struct passwords_error *error);

/* Gives a reference back; the last one frees. NULL is fine. */
void passwords_unref(struct passwords *passwords);

/*
 * Takes the place of others, before anybody asks: those who were found good stay so if all users and hashes are the
 * same. *passwordsp may be the others then, with a reference of its own. NULL is fine for both.
 */
void passwords_succeed(struct passwords **passwordsp, struct passwords *before);

/* Reads the rest of an Authorization header behind "Basic ". 0: *credential is the caller's. -1: it is none, or there
   is no memory. */
int passwords_decode(const struct passwords *passwords, struct credential *credential, const char *base64);

void credential_deinit(struct credential *credential);

/* Whether it was found good before; takes note that it was. */
bool passwords_is_cached(const struct passwords *passwords, const struct credential *credential);
void passwords_cache(struct passwords *passwords, const struct credential *credential);

/* Whether its password is its user's, by crypt(3): slow, be there such a user or not, and safe in any thread. False for
   want of memory. */
bool credential_matches(const struct credential *credential);

#endif
