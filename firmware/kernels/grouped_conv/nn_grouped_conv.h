/* nn_grouped_conv.h - convolution in groups of channels, dense weights: the general case, not tuned.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out = requantize(grouped convolution of in with weights), docs/integer-contract.md. Output channel oc sees
 * the in_c / groups input channels of group oc / (out_c / groups).
 *
 * s:        nn_window_shape; literal; any kernel, stride and padding
 * groups:   int32; literal; divides in_c and out_c
 * r:        nn_requant; literal
 * l:        nn_requant_level; tables of out_c channels
 * weights:  int8[out_c * kernel_h * kernel_w * (in_c / groups)]; read; [out_c][kernel_h][kernel_w][in_c /
 *           groups]
 * in:       int8[in_h * in_w * in_c]; read
 * residual: int8[out_h * out_w * out_c]; read; or a literal NULL; added before the clamp
 * out:      int8[out_h * out_w * out_c]; written
 * aliasing: in is read while each out_c of out, from (max(0, y / out_w * stride_h - pad_top) * in_w + max(0,
 *           y % out_w * stride_w - pad_left)) * in_c
 * aliasing: residual is read before each 1 of out, from y
 * fails:    never
 */
#ifndef NN_GROUPED_CONV_H
#define NN_GROUPED_CONV_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_grouped_conv(const nn_window_shape *s, int32_t groups, const nn_requant *r,
                               const nn_requant_level *l, const int8_t *weights, const int8_t *in,
                               const int8_t *residual, int8_t *out);

#include "nn_grouped_conv_portable.h"

#endif
