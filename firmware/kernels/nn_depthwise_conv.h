/* nn_depthwise_conv.h - depthwise convolution, one filter per channel, whole channels pruned by level.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DEPTHWISE_CONV_H
#define NN_DEPTHWISE_CONV_H

#include "../nn_config.h"
#include "nn_expand.h"

/* out[y][x][ch] = requantize(sum over the window of in[..][..][ch] * weights[ch][ky][kx]).
 * s: in in_h x in_w x in_c, out out_h x out_w x out_c, axes h, w, c; out_c = in_c; any kernel, stride,
 * padding. band (literal, >= 1): output rows whose input is expanded at once. weights:
 * [out_c][kernel_h][kernel_w], any alignment. scratch: 4-byte aligned, for band rows as docs/format.md,
 * "Depthwise scratch", says; it overlaps nothing. channel_level: [out_c], the first level with each channel's
 * filter, or literal NULL where every level has all; channels that level lacks are filled with what
 * requantizes an accumulator of 0, their weights are not read, their input counts for nothing. A channel's
 * input of a band is read before the channel's first output of the band is written: out may lie over in at a
 * multiple of in_c bytes where no later band reads. Cannot fail.
 * Speed: any shape is right, not every shape is fast. kernels/dsp/ has tiles for kernels 3 or 5 wide, at most
 * 5 high, stride_w 1 or 2; tiles of 3x3 with equal strides are scheduled by hand. Other shapes go one product
 * at a time, 3 to 5 times slower. codegen/kernels/depthwise_conv.py costs the three apart. */
NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t band, const int8_t *weights, const uint8_t *channel_level,
                                 uint32_t level, const int8_t *in, int8_t *out, int16_t *scratch);

/* Whether level has channel ch's filter. */
NN_INLINE int nn_depthwise_has(const uint8_t *channel_level, uint32_t level, int32_t ch)
{
    return channel_level == NULL || channel_level[ch] <= level;
}

/* The inner loops: scheduled by hand where kernels/dsp/ is used, nothing otherwise. */
#if NN_SCHEDULED
#include "nn_depthwise_fast.h"
#else
#include "portable/nn_depthwise_fast.h"
#endif

#include "nn_depthwise_conv_body.h"

#endif
