/* nn_layer.h - the types generated layer functions pass to kernels.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Kernels are static inline and always inlined. The generated layer function passes pointers to
 * `static const` shape and requant structs whose members are literals, so the compiler sees every
 * extent and offset as a constant; what depends on the run-time level comes in separate arguments.
 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include <stddef.h>
#include <stdint.h>

#define NN_INLINE static inline __attribute__((always_inline))

/* Extents of a convolution or pooling window; a linear layer is 1x1 on a 1x1 map. */
typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w; /* of a pool, 0 for adaptive windows */
    int32_t pad_top, pad_left;  /* bottom and right padding follow from the output extents */
} nn_window_shape;

/* Channels of a map that is joined as it is read: pixel (y, x) of the part lies in an input at offset +
 * y / row_repeat * row_outer + y % row_repeat * row_inner, and as much for x. */
typedef struct {
    int32_t first, channels; /* of the map */
    int32_t offset;
    int32_t row_repeat, row_outer, row_inner;
    int32_t column_repeat, column_outer, column_inner;
} nn_part;

/* Rows and columns around a map. */
typedef struct {
    int32_t top, left, bottom, right;
} nn_sides;
/* Nested loops over memory, the last the fastest: rounds, and bytes from one round to the next. */
typedef struct {
    int32_t n0, n1, n2, n3, n4, n5;
    int32_t s0, s1, s2, s3, s4, s5;
} nn_loops;

/* Bytes of runs and around them, row by row. */
typedef struct {
    int32_t rows, runs, size;
    int32_t top, left, front, back, right, bottom;
} nn_gaps;

/* Level-independent part of a layer's requantization; docs/integer-contract.md. */
typedef struct {
    int32_t in_zero_point;
    int32_t multiplier_shift;
    int32_t bias_delta_shift;
    int32_t fraction_bits;
    int32_t pre_shift;
    int32_t act_min, act_max;
    int32_t residual_zero_point;
} nn_requant;

/* Level-dependent part of a layer's requantization. */
typedef struct {
    const int16_t *multiplier;   /* out_c entries */
    const int16_t *bias;         /* out_c entries, the same array at every level */
    const int8_t *bias_delta;    /* out_c entries, NULL at the densest level */
    int32_t residual_multiplier; /* 0 without a residual */
} nn_requant_level;

/* One level's increment of a nested layer; docs/format.md. */
typedef struct {
    const uint8_t *positions;
    const int8_t *weights;
} nn_stream;

#endif
