/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_MD5_MULTI_H
#define CORE_MD5_MULTI_H
/*
 * MD5 of several short keys at once (RFC 1321; "multi-buffer" hashing): each key has a lane of the processor's vectors.
 *
 * One MD5 is a chain of 64 dependent steps, which leaves most of a processor idle; that many keys take little longer
 * than one. OpenSSL has this for SHA-1 and SHA-256 only, and no library in Debian 12 has it for MD5.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

enum {
    MD5_LANES = 16,
    /* What fits into a block of 64 bytes with its padding and length. */
    MD5_MULTI_MAX_KEY = 55,
};

/* The words of each key's block, and half of its digest. */
struct md5_words {
    uint32_t block[16][MD5_LANES];
    uint32_t c[MD5_LANES], d[MD5_LANES];
};

/* Hashes the blocks of all lanes. One for each kind of processor; all give the same. (AVX-512 is not faster than AVX2:
   the steps still wait for each other.) */
struct md5_kind {
    const char *name;
    void (*digest)(struct md5_words *words);
};

extern const struct md5_kind md5_portable;
#ifdef __x86_64__
extern const struct md5_kind md5_avx2;
#endif

/* Whether this processor can run it. */
bool md5_kind_runs(const struct md5_kind *kind);

struct md5_multi {
    const struct md5_kind *kind;
    size_t n;
    uint64_t *hashes[MD5_LANES];
    struct md5_words words;
};

/* Makes it empty, for the fastest that this processor can run. */
void md5_multi_init(struct md5_multi *multi);

/* Adds a key of at most MD5_MULTI_MAX_KEY bytes; at most MD5_LANES of them. */
void md5_multi_add(struct md5_multi *multi, struct ss_span key, uint64_t *hashp);

/* Stores the hashes of the added keys, as ss_hasher_hash() gives them, and makes it empty. */
void md5_multi_finish(struct md5_multi *multi);

#endif
