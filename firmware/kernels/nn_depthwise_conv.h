/* nn_depthwise_conv.h - depthwise convolution with dense weights, one filter per channel.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DEPTHWISE_CONV_H
#define NN_DEPTHWISE_CONV_H

#include "../nn_arith.h"

/* out[y][x][ch] = requantize(sum over the window of in[..][..][ch] * weights[ky][kx][ch]).
 * s: in in_h x in_w x in_c, out out_h x out_w x out_c, axes h, w, c; out_c = in_c; any kernel, stride,
 * padding. weights: [kernel_h][kernel_w][out_c], any alignment, 4-byte aligned is fastest. in and out must
 * not overlap. No scratch memory. Cannot fail. */
NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 const int8_t *weights, const int8_t *in, int8_t *out);

#include "nn_depthwise_conv_body.h"

#endif
