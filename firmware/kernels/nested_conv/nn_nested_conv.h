/* nn_nested_conv.h - convolution with nested sparse weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_NESTED_CONV_H
#define NN_NESTED_CONV_H

#include "../../core/nn_arith.h"
#include "../../nn_config.h"
#include "../../core/nn_patch.h"
#include "../../core/put/nn_put.h"
#include "../../core/walk/nn_walk.h"

/* out = requantize(convolution of in with the groups of levels 0 .. level), docs/integer-contract.md.
 * s: in in_h x in_w x in_c, out out_h x out_w x out_c, axes h, w, c; any kernel, stride and padding.
 * group: literal 1, 2 or 4. tile: literal 1 .. NN_TILE_MAX, at most s->out_w: output columns computed at
 * once; out_w % tile columns at the end of a row are a narrower tile. streams: level + 1 entries or more,
 * docs/format.md. level < NN_MAX_LEVELS. residual: out_h * out_w * out_c int8 added before the clamp, or a
 * literal NULL. scratch: 8-byte aligned, out_c nn_channel, then (out_w - 1) * stride_w + kernel_w columns of
 * kernel_h * c int16 (c = in_c rounded up to group), plus (out_h - 1) * stride_h * c if stride_h < kernel_h,
 * plus 4; it overlaps nothing. Before an output row is written, the input rows of its windows and all above
 * have been read: out may lie over in where no later output row reads. residual may be in; out may start
 * where residual starts, or whole output rows below. Cannot fail. */
NN_INLINE void nn_nested_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const int8_t *in, const int8_t *residual, int8_t *out, int16_t *scratch);

#include "nn_nested_conv_portable.h"

#endif
