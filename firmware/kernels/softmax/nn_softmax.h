/* nn_softmax.h - softmax over channels.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Per position: e[i] = table[max - x[i]], y[i] = clamp((gain * e[i] + sum / 2) / sum - 128).
 *
 * positions: int32; literal; 1 .. 2^31 - 1
 * channels:  int32; literal; 1 .. 1024
 * gain:      uint32; 1 .. 2^17 - channels / 2 - 1
 * table:     uint16[256]; read; docs/integer-contract.md; entry 0 is 2^15
 * in:        int8[positions * channels]; read
 * out:       int8[positions * channels]; written
 * aliasing:  in is read before each 1 of out, from y
 * fails:     never
 * check:     2^15 * (2^17 - 1024 / 2 - 1) + 1024 * 2^15 / 2 < 2^32
 */
#ifndef NN_SOFTMAX_H
#define NN_SOFTMAX_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_softmax(int32_t positions, int32_t channels, uint32_t gain, const uint16_t *table,
                          const int8_t *in, int8_t *out);

#include "nn_softmax_portable.h"

#endif
