/* nn_decode.c - bring the coded streams of one layer into the form that its kernel reads; contract in
 * nn_decode.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_decode.h"

#include "nn_lz4.h"
#include "nn_deltas.h"

#define ADVANCE 0x7Fu
#define LAST    0x80u

int nn_check_positions(const uint8_t *positions, uint32_t bytes, const nn_patch_groups *groups)
{
    const uint32_t odd = groups->group == 2u; /* a segment's last byte has an odd index: lengths are even */
    const uint32_t count = groups->count;
    uint32_t rows = groups->rows;
    uint32_t position = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        position += positions[i] & ADVANCE;
        if (position >= count) {
            return 0;
        }
        if ((positions[i] & LAST) != 0u) {
            if ((i & odd) != odd) {
                return 0;
            }
            rows--;
            position = 0;
        }
    }
    /* More rows than there are wrap around to a large number. */
    return rows == 0u && (positions[bytes - 1u] & LAST) != 0u;
}

int nn_decode_lz4_weights(const nn_coded *streams, uint32_t first, uint32_t level, uint8_t *area)
{
    for (uint32_t k = first; k <= level; k++) {
        const nn_coded *const s = &streams[k];
        if (!nn_lz4_decode(s->stored, s->stored_bytes, area + s->offset_bytes, s->decoded_bytes)) {
            return 0;
        }
    }
    return 1;
}

int nn_decode_lz4_positions(const nn_coded *streams, uint32_t first, uint32_t level,
                            const nn_patch_groups *groups, uint8_t *area)
{
    for (uint32_t k = first; k <= level; k++) {
        const nn_coded *const s = &streams[k];
        uint8_t *const decoded = area + s->offset_bytes;
        if (!nn_lz4_decode(s->stored, s->stored_bytes, decoded, s->decoded_bytes) ||
            !nn_check_positions(decoded, s->decoded_bytes, groups)) {
            return 0;
        }
    }
    return 1;
}

int nn_decode_deltas_positions(const nn_coded *streams, uint32_t first, uint32_t level,
                               const nn_patch_groups *groups, uint8_t *area)
{
    for (uint32_t k = first; k <= level; k++) {
        const nn_coded *const s = &streams[k];
        if (!nn_deltas_decode(s->stored, s->stored_bytes, groups->rows, groups->count, groups->group,
                              area + s->offset_bytes, s->decoded_bytes)) {
            return 0;
        }
    }
    return 1;
}
