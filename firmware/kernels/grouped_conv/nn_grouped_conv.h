/* nn_grouped_conv.h - convolution in groups of channels, dense weights: the general case, not tuned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_GROUPED_CONV_H
#define NN_GROUPED_CONV_H

#include "../../core/nn_arith.h"

/* out = requantize(grouped convolution of in with weights), docs/integer-contract.md. Output channel oc sees
 * the in_c / groups input channels of group oc / (out_c / groups). s: in in_h x in_w x in_c, out out_h x
 * out_w x out_c, axes h, w, c; any kernel, stride, padding. groups: divides in_c and out_c. weights:
 * [out_c][kernel_h][kernel_w][in_c / groups], any alignment. residual: out_h * out_w * out_c int8 added
 * before the clamp, or a literal NULL. Outputs are written one by one in memory order: out may start where
 * residual starts, or below, and lie over what no later output reads of in. Cannot fail. */
NN_INLINE void nn_grouped_conv(const nn_window_shape *s, int32_t groups, const nn_requant *r,
                               const nn_requant_level *l, const int8_t *weights, const int8_t *in,
                               const int8_t *residual, int8_t *out);

#include "nn_grouped_conv_portable.h"

#endif
