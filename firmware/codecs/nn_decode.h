/* nn_decode.h - bring the coded streams of one layer into the form that its kernel reads.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A stream is the positions or the weights of one level of a nested layer, or all rows of a dense layer;
 * codecs and sizes stand in docs/format.md, "Coded streams". Each codec has a function of its own, so that a
 * program whose model uses one of them links one of them.
 */
#ifndef NN_DECODE_H
#define NN_DECODE_H

#include <stdint.h>

/* One coded stream. */
typedef struct {
    const uint8_t *stored; /* no alignment needed */
    uint32_t stored_bytes;
    uint32_t decoded_bytes; /* at least 1 */
    uint32_t offset_bytes;  /* of the decoded stream in the layer's area */
} nn_coded;

/* What the positions of a layer must describe. */
typedef struct {
    uint32_t rows;  /* output channels, at least 1 */
    uint32_t count; /* groups of one row's patch, at least 1; rows * count is below 2^31 */
    uint32_t group; /* 1, 2 or 4 */
} nn_patch_groups;

/* Decode streams[first] .. streams[level] to their places in area, first <= level + 1. The area must hold
 * every decoded stream; it must not overlap what is stored. Nothing outside is read or written, whatever is
 * stored. Positions are fit for kernels afterwards: as many rows as the layer has, each inside its patch, of
 * even length at group 2. Any weights are fit for kernels. Returns 1, or 0 if a stream is damaged; the area
 * is then unspecified from that stream on. */
int nn_decode_lz4_weights(const nn_coded *streams, uint32_t first, uint32_t level, uint8_t *area);
int nn_decode_lz4_positions(const nn_coded *streams, uint32_t first, uint32_t level,
                            const nn_patch_groups *groups, uint8_t *area);
int nn_decode_deltas_positions(const nn_coded *streams, uint32_t first, uint32_t level,
                               const nn_patch_groups *groups, uint8_t *area);

/* Whether `bytes` position bytes, at least 1, are what a kernel may walk: docs/format.md, "Position byte". */
int nn_check_positions(const uint8_t *positions, uint32_t bytes, const nn_patch_groups *groups);

#endif
