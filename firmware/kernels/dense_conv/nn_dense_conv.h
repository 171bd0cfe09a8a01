/* nn_dense_conv.h - convolution with dense weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DENSE_CONV_H
#define NN_DENSE_CONV_H

#include "../../core/nn_arith.h"
#include "../../core/dot/nn_dot.h"
#include "../../core/nn_patch.h"

/* The most output columns nn_dense_conv computes at once. */
#define NN_DENSE_TILE_MAX 3

/* Channels of the patch buffer: in_c, or one more where an odd number would move a patch off a word. */
NN_INLINE int32_t nn_dense_channels(const nn_window_shape *s)
{
    const int32_t odd_column = s->stride_w * s->kernel_h * s->in_c & 1;
    const int32_t odd_row = s->stride_h < s->kernel_h ? s->stride_h * s->in_c & 1 : 0;
    return s->in_c + (odd_column | odd_row);
}

/* out = requantize(convolution of in with weights), docs/integer-contract.md.
 * s: in in_h x in_w x in_c, out out_h x out_w x out_c, axes h, w, c; any kernel, stride and padding.
 * tile: literal 1 .. NN_DENSE_TILE_MAX, at most s->out_w: the most columns at once; 3 is fastest on Cortex-M4
 * and M7. A width it does not divide ends in smaller tiles. weights: "Dense weights" of docs/format.md,
 * 4-byte aligned. residual: out_h * out_w * out_c int8 added before the clamp, or a literal NULL. scratch:
 * 8-byte aligned, (out_w - 1) * stride_w + kernel_w columns of kernel_h * c int16 (c: nn_dense_channels),
 * plus (out_h - 1) * stride_h * c if stride_h < kernel_h, plus 4; it overlaps nothing. Before an output row
 * is written, the input rows of its windows and all above have been read: out may lie over in where no later
 * output row reads. residual may be in; out may start where residual starts, or whole output rows below.
 * Cannot fail. */
NN_INLINE void nn_dense_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t tile, const int8_t *weights, const int8_t *in, const int8_t *residual,
                             int8_t *out, int16_t *scratch);

#include "nn_dense_conv_portable.h"

#endif
