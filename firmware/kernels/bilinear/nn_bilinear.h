/* nn_bilinear.h - bilinear resizing to any size.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][ch] = (sum of w * in over the four elements around the output's place + 2^21) >> 22; the weights
 * are products of those along both axes, which add up to 2^11; docs/integer-contract.md.
 *
 * s:             nn_window_shape; literal; out_c = in_c, any extents; kernel, stride and padding are not used
 * align_corners: int32; literal; 0, 1
 * in:            int8[in_h * in_w * in_c]; read
 * out:           int8[out_h * out_w * out_c]; written
 * fails:         never
 * check:         128 * 2^11 * 2^11 + 2^21 < 2^31
 */
#ifndef NN_BILINEAR_H
#define NN_BILINEAR_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_bilinear(const nn_window_shape *s, int32_t align_corners, const int8_t *in, int8_t *out);

#include "nn_bilinear_portable.h"

#endif
