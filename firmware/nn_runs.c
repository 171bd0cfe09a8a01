/* nn_runs.c - decoder of positions stored as Rice-coded runs; contract in nn_runs.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_runs.h"

#include <stddef.h>

#define MAX_ADVANCE 127u
#define LAST        0x80u
#define FAILED      0x80000000u /* more than any number of groups */

/* The bits still to be read. */
typedef struct {
    const uint8_t *in;
    const uint8_t *end;
    uint32_t bits; /* the next ones, from the high end; zeros after them */
    uint32_t held; /* how many they are */
} nn_bits;

/* Read one Rice code with parameter k, 0..15. Returns its value, or one above limit if it is above limit or
 * the block has no such code. limit: below 2^31. */
static inline uint32_t take(nn_bits *b, uint32_t k, uint32_t limit)
{
    uint32_t zeros = 0; /* no longer in b->bits */
    for (;;) {
        const uint32_t more = b->bits == 0u ? 32u : (uint32_t)__builtin_clz(b->bits);
        if (more + k < b->held) {                                /* with the one bit all there */
            const uint32_t low = (b->bits << more) >> (31u - k); /* the one bit and k others */
            b->bits = b->bits << more << k << 1;
            b->held -= more + k + 1u;
            return ((zeros + more - 1u) << k) + low;
        }
        /* Drop the zeros; 15 bits or fewer remain, too few. */
        const uint32_t dropped = more < b->held ? more : b->held;
        zeros += dropped;
        b->held -= dropped;
        b->bits <<= dropped & 31u;
        if (b->in == b->end || zeros > limit >> k) {
            return FAILED;
        }
        if (b->end - b->in >= 2) {
            b->bits |= ((uint32_t)b->in[0] << 8 | b->in[1]) << (16u - b->held);
            b->in += 2;
            b->held += 16u;
        } else {
            b->bits |= (uint32_t)b->in[0] << (24u - b->held);
            b->in += 1;
            b->held += 8u;
        }
    }
}

/* Complete a segment that begins at row: it is never empty, and even at group 2. Returns its end, or NULL if
 * it would be after end. */
static __attribute__((noinline)) uint8_t *finish(const uint8_t *row, uint8_t *out, const uint8_t *end,
                                                 uint32_t group)
{
    while (out == row || (group == 2u && ((size_t)(out - row) & 1u) != 0u)) {
        if (out == end) {
            return NULL;
        }
        *out++ = 0u;
    }
    out[-1] |= LAST;
    return out;
}

int nn_runs_decode(const uint8_t *stored, uint32_t stored_bytes, uint32_t rows, uint32_t count,
                   uint32_t group, uint8_t *out, uint32_t out_bytes)
{
    if (stored_bytes == 0u) {
        return 0;
    }
    const uint8_t *const end = out + out_bytes;
    const uint8_t *row = out;
    nn_bits b = {stored + 1, stored + stored_bytes, 0u, 0u};
    uint32_t k = stored[0] & 15u, other_k = stored[0] >> 4;
    uint32_t remaining = rows * count; /* groups not described yet */
    uint32_t left = count;             /* of this row */
    uint32_t gap = 0;                  /* from the last present group, or the row's begin */
    uint32_t present = 0, least = 0;   /* what the next run is, and how long at least */

    do {
        uint32_t run = take(&b, k, remaining) + least;
        if (run > remaining) {
            return 0;
        }
        remaining -= run;
        while (run != 0u) {
            if (left == 0u) {
                out = finish(row, out, end, group);
                if (out == NULL) {
                    return 0;
                }
                row = out;
                left = count;
                gap = 0;
            }
            uint32_t part = run < left ? run : left;
            left -= part;
            run -= part;
            if (!present) {
                gap += part;
                continue;
            }
            while (gap > MAX_ADVANCE) {
                if (out == end) {
                    return 0;
                }
                *out++ = MAX_ADVANCE;
                gap -= MAX_ADVANCE;
            }
            if ((size_t)(end - out) < part) {
                return 0;
            }
            *out++ = (uint8_t)gap;
            while (--part != 0u) {
                *out++ = 1u;
            }
            gap = 1;
        }
        const uint32_t swap = k;
        k = other_k;
        other_k = swap;
        present ^= 1u;
        least = 1;
    } while (remaining != 0u);
    out = finish(row, out, end, group);
    return out == end && b.in == b.end && b.held < 8u && b.bits == 0u;
}
