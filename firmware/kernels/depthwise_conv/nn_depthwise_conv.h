/* nn_depthwise_conv.h - depthwise convolution, one filter per channel, whole channels pruned by level.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][ch] = requantize(sum over the window of in[..][..][ch] * weights[ch][ky][kx]). Channels that
 * level lacks are filled with what requantizes an accumulator of 0: their weights are not read, their input
 * counts for nothing. band: output rows whose input is expanded at once.
 *
 * s:             nn_window_shape; literal; out_c = in_c, any kernel, stride and padding
 * r:             nn_requant; literal
 * l:             nn_requant_level; tables of out_c channels
 * band:          int32; literal; 1 .. out_h
 * weights:       int8[out_c * kernel_h * kernel_w]; read; [out_c][kernel_h][kernel_w]
 * channel_level: uint8[out_c]; read; or a literal NULL; the first level with each channel's filter
 * level:         uint32; 0 .. NN_MAX_LEVELS - 1
 * in:            int8[in_h * in_w * in_c]; read
 * out:           int8[out_h * out_w * out_c]; written
 * scratch:       int16[scratch_bytes / 2]; written; align 4; overlaps nothing
 * pitch:         round_up((out_w - 1) * stride_w + kernel_w, 2)
 * scratch_bytes: round_up(2 * min(4, out_c) * ((band - 1) * stride_h + kernel_h) * pitch, 8)
 * aliasing:      in is read before each band * out_w * out_c of out, from max(0, y * band * stride_h -
 *                pad_top) * in_w * in_c, apart in_c
 * fails:         never
 * speed:         any shape is right, not every shape is fast. nn_depthwise_conv_dsp.h has tiles for kernels
 *                3 or 5 wide, at most 5 high, stride_w 1 or 2; tiles of 3x3 with equal strides are scheduled
 *                by hand. Other shapes go one product at a time, 3 to 5 times slower.
 *                codegen/kernels/depthwise_conv.py costs the three apart.
 */
#ifndef NN_DEPTHWISE_CONV_H
#define NN_DEPTHWISE_CONV_H

#include "../../nn_kernels.h"
#include "../../core/expand/nn_expand.h"

NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t band, const int8_t *weights, const uint8_t *channel_level,
                                 uint32_t level, const int8_t *in, int8_t *out, int16_t *scratch);

/* Whether level has channel ch's filter. */
NN_INLINE int nn_depthwise_has(const uint8_t *channel_level, uint32_t level, int32_t ch)
{
    return channel_level == NULL || channel_level[ch] <= level;
}

#if NN_SCHEDULED
/* Expand pairs (literal) pairs of columns of a row of four channels if there is a loop for the arguments;
 * returns whether it did. in: the first pixel; x: its element in the first of four planes. */
NN_INLINE int nn_depthwise_expand_asm(int32_t pairs, int32_t in_c, uint32_t offset, int32_t plane,
                                      const int8_t *in, int16_t *x);

/* Two rows of outputs of one channel, an odd column excepted, if there is a loop for the arguments; returns
 * whether it did. pitch: elements of a plane's row; taps: as nn_depthwise_taps makes them; x: the first
 * window; out: its output. */
NN_INLINE int nn_depthwise_rows_asm(const nn_window_shape *s, const nn_requant *r, int32_t pitch,
                                    nn_channel channel, const uint32_t *taps, const int16_t *x, int8_t *out);
#endif

#if NN_KERNELS_USE_DSP
#include "nn_depthwise_conv_dsp.h"
#else
#include "nn_depthwise_conv_portable.h"
#endif

#endif
