/* SPDX-License-Identifier: Apache-2.0 */
/* As scan_x86.h, for 64-bit ARM, where NEON is always available; carry-less multiplication is not, so the regions
   between quotes are found by shifts. */
#ifdef __aarch64__
#include "scan.h"

#include <arm_neon.h>
#include <string.h>

enum { BLOCK = 64 };

/* A bit for each byte of four vectors whose bytes are all ones or all zeros. */
static inline uint64_t
bits(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d)
{
    const uint8x16_t weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t ab = vpaddq_u8(vandq_u8(a, weights), vandq_u8(b, weights));
    uint8x16_t cd = vpaddq_u8(vandq_u8(c, weights), vandq_u8(d, weights));
    uint8x16_t abcd = vpaddq_u8(ab, cd);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(abcd, abcd)), 0);
}

struct block64 {
    uint8x16_t a, b, c, d;
};

static inline struct block64
load64(const char *p)
{
    const uint8_t *bytes = (const uint8_t *)p;
    return (struct block64){vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)};
}

static inline uint64_t
equals(const struct block64 *bytes, char c)
{
    uint8x16_t want = vdupq_n_u8((uint8_t)c);
    return bits(vceqq_u8(bytes->a, want), vceqq_u8(bytes->b, want), vceqq_u8(bytes->c, want), vceqq_u8(bytes->d, want));
}

struct scan_block {
    uint64_t ends;    /* LFs outside quotes */
    uint64_t escaped; /* bytes after an odd run of backslashes */
};

static inline struct scan_block
read_block(const char *p, struct scan_carry *carry)
{
    struct block64 bytes = load64(p);
    uint64_t lfs = equals(&bytes, '\n'), quotes = equals(&bytes, '"'), backslashes = equals(&bytes, '\\'), escaped = 0;

    if (__builtin_expect((backslashes | carry->escaped) != 0, 0)) {
        escaped = scan_escaped(backslashes, &carry->escaped);
        quotes &= ~escaped;
    }
    uint64_t inside = quotes;
    for (int shift = 1; shift < BLOCK; shift *= 2)
        inside ^= inside << shift;
    inside ^= 0 - carry->quoted;
    carry->quoted = inside >> 63;
    carry->inside_lf |= lfs & inside;
    return (struct scan_block){lfs & ~inside, escaped};
}

static inline size_t
write_ends(uint32_t *out, uint64_t ends, uint32_t offset)
{
    size_t n = 0;
    for (; ends; ends &= ends - 1)
        out[n++] = offset + (uint32_t)__builtin_ctzll(ends) + 1;
    return n;
}

static size_t
neon_ends(struct ss_span in, struct scan_carry *carryp, uint32_t *ends)
{
    struct scan_carry carry = *carryp;
    size_t n = 0, i = 0;

    for (; in.len - i >= BLOCK; i += BLOCK)
        n += write_ends(ends + n, read_block(in.ptr + i, &carry).ends, (uint32_t)i);
    if (i < in.len) {
        /* Bytes after the last ones must not be read. */
        char bytes[BLOCK] = {0};
        memcpy(bytes, in.ptr + i, in.len - i);
        struct scan_block block = read_block(bytes, &carry);
        n += write_ends(ends + n, block.ends, (uint32_t)i);
        carry.escaped = block.escaped >> (in.len - i) & 1;
    }
    *carryp = carry;
    return n;
}

const struct scanner scanner_neon = {"neon", neon_ends, scan_same_prefix};

#endif
