/* nn_nested_conv.h - convolution with nested sparse weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out = requantize(convolution of in with the groups of levels 0 .. level), docs/integer-contract.md. out_w
 * % tile columns at the end of a row are a narrower tile. A layer whose map is joined of parts calls
 * nn_nested_conv_row, and nn_patch_put_part for the rows before it.
 *
 * s:             nn_window_shape; literal; any kernel, stride and padding
 * r:             nn_requant; literal
 * l:             nn_requant_level; tables of out_c channels
 * group:         int32; literal; 1, 2, 4
 * tile:          int32; literal; 1 .. min(NN_TILE_MAX, out_w)
 * streams:       nn_stream[level + 1]; read; docs/format.md; weights aligned to 4 for groups of 2 and 4
 * level:         uint32; 0 .. NN_MAX_LEVELS - 1
 * in:            int8[in_h * in_w * in_c]; read
 * residual:      int8[out_h * out_w * out_c]; read; or a literal NULL; may be in; added before the clamp
 * out:           int8[out_h * out_w * out_c]; written
 * scratch:       int16[scratch_bytes / 2]; written; align 8; overlaps nothing
 * c:             round_up(in_c, group)
 * scratch_bytes: 8 * out_c + round_up(2 * (((out_w - 1) * stride_w + kernel_w) * kernel_h * c + (stride_h <
 *                kernel_h) * (out_h - 1) * stride_h * c + 4), 8)
 * aliasing:      in is read before each out_w * out_c of out, from max(0, y * stride_h - pad_top +
 *                max(kernel_h - stride_h, 0)) * in_w * in_c
 * aliasing:      residual is read before each 1 of out, from y, apart out_w * out_c
 * fails:         never
 */
#ifndef NN_NESTED_CONV_H
#define NN_NESTED_CONV_H

#include "../../core/nn_arith.h"
#include "../../nn_config.h"
#include "../../core/nn_patch.h"
#include "../../core/put/nn_put.h"
#include "../../core/walk/nn_walk.h"

NN_INLINE void nn_nested_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const int8_t *in, const int8_t *residual, int8_t *out, int16_t *scratch);

#include "nn_nested_conv_portable.h"

#endif
