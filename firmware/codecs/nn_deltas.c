/* nn_deltas.c - decoder of positions stored as gaps in codes of a fixed width; contract in nn_deltas.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nearly every code names a group that follows another one in its row: its value is the position byte.
 * nn_deltas_place writes all other groups and completes the rows.
 */
#include "nn_deltas.h"

#include <stddef.h>

#define MAX_WIDTH   7u
#define MAX_ADVANCE 127u
#define LAST        0x80u
#define FAR         0x80000000u /* more places than any layer has */

typedef struct {
    const uint8_t *row; /* first byte of the segment being written; NULL before the first */
    const uint8_t *end; /* of the output */
    uint32_t rows;      /* after the one being written; wraps around when the last one is complete */
    uint32_t count;     /* places of a row */
    uint32_t odd;       /* 1 if segments are even */
    uint32_t left;      /* places of the row after its last group; none before the first row */
} nn_deltas;

/* Write the group `advance` places after the last one to out. Returns where the next one goes, or NULL if
 * there is no room or no row for it. */
static __attribute__((noinline)) uint8_t *nn_deltas_place(nn_deltas *s, uint8_t *out, uint32_t advance)
{
    uint32_t left = s->left;
    while (advance > left) {
        advance -= left;
        left = s->count;
        if (s->row != NULL) { /* a segment is never empty, and even where it must be */
            while (out == s->row || ((uint32_t)(out - s->row) & s->odd) != 0u) {
                if (out == s->end) {
                    return NULL;
                }
                *out++ = 0u;
            }
            out[-1] |= LAST;
        }
        s->row = out;
        if (s->rows-- == 0u) {
            return NULL;
        }
    }
    s->left = left - advance;
    advance -= out == s->row; /* from position 0, not from the group before */
    for (;;) {
        if (out == s->end) {
            return NULL;
        }
        if (advance <= MAX_ADVANCE) {
            *out++ = (uint8_t)advance;
            return out;
        }
        *out++ = MAX_ADVANCE;
        advance -= MAX_ADVANCE;
    }
}

/* Write the groups that the bytes from `stored` on name. Returns where the output goes on, or NULL if one has
 * no place, or if more than what fills the last byte follows the last one. */
static uint8_t *nn_deltas_groups(nn_deltas *s, const uint8_t *stored, const uint8_t *stored_end, uint8_t *out)
{
    const int32_t width = *stored++;
    const uint32_t mask = (1u << width) - 1u; /* also the places that code 0 skips */
    const uint8_t *const end = s->end;
    uint32_t left = s->left;
    uint32_t window = 0; /* the next bits, from the low end */
    int32_t bits = 0;    /* of them; what stands above is not read yet */

    for (;;) {
        uint32_t advance = 0, code;
        for (;;) {
            bits -= width;
            if (__builtin_expect(bits < 0, 0)) {
                if (stored_end - stored >= 4) { /* take three: there may be no room for the fourth */
                    uint32_t word;
                    __builtin_memcpy(&word, stored, sizeof word);
                    window |= word << (bits + width);
                    stored += 3;
                    bits += 24;
                } else if (stored != stored_end) {
                    window |= (uint32_t)*stored++ << (bits + width);
                    bits += 8;
                } else {
                    s->left = left;
                    bits += width * (int32_t)((advance & ~FAR) / mask + 1u);
                    return bits < 8 && window == 0u ? out : NULL;
                }
            }
            code = window & mask;
            window >>= width;
            if (__builtin_expect(code != 0u, 1)) {
                break;
            }
            advance += mask;
            if (advance > MAX_ADVANCE - mask) { /* with the next code it may not fit a byte */
                advance |= FAR;
            }
        }
        advance += code;
        if (__builtin_expect(advance > left || out == end, 0)) {
            s->left = left;
            out = nn_deltas_place(s, out, advance & ~FAR);
            if (out == NULL) {
                return NULL;
            }
            left = s->left;
        } else {
            left -= advance;
            *out++ = (uint8_t)advance;
        }
    }
}

__attribute__((nonnull)) int nn_deltas_decode(const uint8_t *stored, uint32_t stored_bytes, uint32_t rows,
                                              uint32_t count, uint32_t group, uint8_t *out,
                                              uint32_t out_bytes)
{
    if (stored_bytes == 0u || stored[0] - 1u >= MAX_WIDTH) {
        return 0;
    }
    nn_deltas s = {NULL, out + out_bytes, rows, count, group >> 1 & 1u, 0};
    out = nn_deltas_groups(&s, stored, stored + stored_bytes, out);
    return out != NULL && nn_deltas_place(&s, out, FAR) == NULL && s.rows + 1u == 0u && s.row == s.end;
}
