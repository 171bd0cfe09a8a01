/* nn_runs.c - decoder of positions stored as Rice-coded runs; contract in nn_runs.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Runs are read and written in pairs: some groups absent, then some present. Nearly all pairs have both codes
 * in one word and end inside a row; the loop of nn_runs_decode does those, its helpers the others.
 */
#include "nn_runs.h"

#include <stddef.h>

#define MAX_ADVANCE 127u
#define LAST        0x80u
#define ONES        0x01010101u /* four groups, each right after the one before */
#define ENDLESS     0xFFFFFFFFu /* a run longer than any layer */
#define LONGEST     0x7FFFFFFFu /* below it, and above any run of a layer */
#define WINDOW_BITS 25u         /* that a word read at any bit's byte holds at least */

typedef struct {
    const uint8_t *in;
    uint32_t bits; /* at in, from the high end of each byte */
    uint32_t bit;  /* the next one to read */
    uint8_t *out;  /* next position byte */
    const uint8_t *end;
    const uint8_t *row; /* first byte of the segment being written */
    uint32_t rows;      /* not complete yet */
    uint32_t count;     /* groups of a row */
    uint32_t odd;       /* 1 if segments are even */
    uint32_t left;      /* groups of this row not described yet */
    uint32_t gap;       /* from the last present group, or the row's begin, to the next group */
} nn_runs;

/* Read a run that is coded with parameter k bit by bit. Returns its length, for the first run 1 more, or
 * ENDLESS, with s->bit unchanged, if there is no code. */
static __attribute__((noinline)) uint32_t nn_runs_read(nn_runs *s, uint32_t k)
{
    uint32_t bit = s->bit, value = 0;
    for (int ended = 0; !ended || k != 0u; bit++) {
        if (bit >= s->bits || value > LONGEST >> k) {
            return ENDLESS;
        }
        const uint32_t is_one = (uint32_t)s->in[bit >> 3] >> (~bit & 7u) & 1u;
        if (ended) {
            value += value + is_one;
            k--;
        } else {
            value += 1u - is_one;
            ended = (int)is_one;
        }
    }
    s->bit = bit;
    return value + 1u;
}

/* Complete a row: its segment is never empty, and even where it must be. Without room no row is left and no
 * end. */
static __attribute__((noinline)) void nn_runs_finish_row(nn_runs *s)
{
    while (s->out == s->row || ((uint32_t)(s->out - s->row) & s->odd) != 0u) {
        if (s->out == s->end) {
            s->end = NULL;
            s->rows = 0;
            return;
        }
        *s->out++ = 0u;
    }
    s->out[-1] |= LAST;
    s->row = s->out;
    s->rows--;
    s->left = s->count;
    s->gap = 0;
}

/* Write a pair of runs, whatever their lengths. Returns 0 if they do not fit into rows or output; after an
 * absent run that ends the last row there must be no code. */
static __attribute__((noinline)) int nn_runs_write_pair(nn_runs *s, uint32_t absent, uint32_t present)
{
    while (absent >= s->left) {
        absent -= s->left;
        nn_runs_finish_row(s);
        if (s->rows == 0u) {
            return absent == 0u && present == ENDLESS;
        }
    }
    s->left -= absent;
    s->gap += absent;
    while (present != 0u) {
        if (s->rows == 0u || s->out == s->end) {
            return 0;
        }
        if (s->gap > MAX_ADVANCE) {
            *s->out++ = MAX_ADVANCE;
            s->gap -= MAX_ADVANCE;
            continue;
        }
        *s->out++ = (uint8_t)s->gap;
        s->gap = 1;
        present--;
        s->left--;
        if (s->left == 0u) {
            nn_runs_finish_row(s);
        }
    }
    return 1;
}

int nn_runs_decode(const uint8_t *stored, uint32_t stored_bytes, uint32_t rows, uint32_t count,
                   uint32_t group, uint8_t *out, uint32_t out_bytes)
{
    if (stored_bytes == 0u) {
        return 0;
    }
    nn_runs s;
    s.in = stored + 1;
    s.bits = 8u * (stored_bytes - 1u);
    s.bit = 0;
    s.out = out;
    s.end = out + out_bytes;
    s.row = out;
    s.rows = rows;
    s.count = count;
    s.odd = group >> 1 & 1u;
    const uint32_t absent_k = stored[0] & 15u, present_k = stored[0] >> 4;
    const uint32_t fast_bits = s.bits > 24u ? s.bits - 24u : 0u; /* four bytes can be read at those before */
    /* Of s, while pairs are short. A first run may be 0 long, and is stored as it is; with one group more
     * before the first row it is at least 1, as the others, and stored less 1. */
    uint32_t left = count + 1u, gap = 0u - 1u;

    for (;;) {
        uint32_t absent, present, used = WINDOW_BITS + 1u;
        if (s.bit < fast_bits) {
            uint32_t window;
            __builtin_memcpy(&window, s.in + (s.bit >> 3), sizeof window);
            window = __builtin_bswap32(window) << (s.bit & 7u);
            const uint32_t zeros = (uint32_t)__builtin_clz(window | 1u); /* 31 for a window of zeros */
            window <<= zeros;
            absent = ((zeros - 1u) << absent_k) + (window >> (31u - absent_k)) + 1u;
            window = window << absent_k << 1;
            const uint32_t more = (uint32_t)__builtin_clz(window | 1u);
            window <<= more;
            present = ((more - 1u) << present_k) + (window >> (31u - present_k)) + 1u;
            used = zeros + more + (absent_k + present_k + 2u);
        }
        if (used > WINDOW_BITS) {
            absent = nn_runs_read(&s, absent_k);
            present = nn_runs_read(&s, present_k);
        } else {
            s.bit += used;
            if (absent + present < left && gap + absent <= MAX_ADVANCE &&
                (size_t)(s.end - s.out) >= (size_t)present + 4u) {
                uint8_t *const end = s.out + present;
                uint8_t *word = s.out;
                *word++ = (uint8_t)(gap + absent);
                do { /* by words, up to 4 bytes too many */
                    uint32_t ones = ONES;
                    __asm__("" : "+r"(ones)); /* else gcc calls memset for a few bytes */
                    __builtin_memcpy(word, &ones, sizeof ones);
                    word += sizeof ones;
                } while (word < end);
                s.out = end;
                left -= absent + present;
                gap = 1;
                continue;
            }
        }
        s.left = left;
        s.gap = gap;
        if (!nn_runs_write_pair(&s, absent, present)) {
            return 0;
        }
        if (s.rows == 0u) {
            break;
        }
        left = s.left;
        gap = s.gap;
    }
    return s.out == s.end && s.bits - s.bit < 8u && nn_runs_read(&s, 0) == ENDLESS;
}
