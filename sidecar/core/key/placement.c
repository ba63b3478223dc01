/* SPDX-License-Identifier: Apache-2.0 */
/* Hashing of keys and placement of hashes. */
#include <scrapeshard/shard.h>

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <xxhash.h>

struct ss_hasher {
    EVP_MD *md5; /* NULL: XXH64 */
    EVP_MD_CTX *context;
};

int
ss_hasher_new(struct ss_hasher **hasherp, enum ss_hash hash)
{
    struct ss_hasher *h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    if (hash == SS_HASH_MD5) {
        h->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
        h->context = EVP_MD_CTX_new();
        if (!h->md5 || !h->context) {
            int r = h->md5 ? -ENOMEM : ENOTSUP;
            ss_hasher_free(h);
            return r;
        }
    }
    *hasherp = h;
    return 0;
}

/* The last 8 bytes of the MD5, big endian. */
static int
hash_md5(struct ss_hasher *h, struct ss_span key, uint64_t *hashp)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    uint64_t hash = 0;

    if (!EVP_DigestInit_ex2(h->context, h->md5, NULL) || !EVP_DigestUpdate(h->context, key.ptr, key.len) ||
        !EVP_DigestFinal_ex(h->context, digest, NULL))
        return -ENOMEM;
    for (int i = 8; i < 16; i++)
        hash = hash << 8 | digest[i];
    *hashp = hash;
    return 0;
}

int
ss_hasher_hash(struct ss_hasher *h, struct ss_span key, uint64_t *hashp)
{
    if (h->md5)
        return hash_md5(h, key, hashp);
    *hashp = XXH64(key.ptr, key.len, 0);
    return 0;
}

void
ss_hasher_free(struct ss_hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->context);
    EVP_MD_free(h->md5);
    free(h);
}

/* Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014, figure 1. */
static uint32_t
place_jump(uint64_t hash, uint32_t count)
{
    int64_t bucket = -1, next = 0;
    while (next < count) {
        bucket = next;
        hash = hash * UINT64_C(2862933555777941757) + 1;
        next = (int64_t)((double)(bucket + 1) * ((double)(INT64_C(1) << 31) / (double)((hash >> 33) + 1)));
    }
    return (uint32_t)bucket;
}

uint32_t
ss_place(enum ss_hash function, enum ss_placement placement, uint64_t hash, uint32_t count)
{
    if (placement == SS_PLACE_JUMP)
        return place_jump(hash, count);
    return function == SS_HASH_MD5 ? (uint32_t)(hash % count) : (uint32_t)hash % count;
}
