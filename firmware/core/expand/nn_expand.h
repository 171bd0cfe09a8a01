/* nn_expand.h - widen int8 activations to int16 and subtract their zero point.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_EXPAND_H
#define NN_EXPAND_H

#include "../nn_arith.h"

/* out[i] = in[i] - zero_point for i in 0 .. count - 1.
 * in: count int8, any alignment. out: count int16. They must not overlap. count >= 0. */
NN_INLINE void nn_expand(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out);

/* out[i] = 0 for i in 0 .. count - 1. count >= 0. */
NN_INLINE void nn_fill_zero(int16_t *out, int32_t count);

#if NN_KERNELS_USE_DSP
#include "nn_expand_dsp.h"
#else
#include "nn_expand_portable.h"
#endif

#endif
