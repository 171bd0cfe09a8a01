/* nn_softmax.h - softmax over channels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_SOFTMAX_H
#define NN_SOFTMAX_H

#include "../../core/nn_arith.h"

/* Per position: e[i] = table[max - x[i]], y[i] = clamp((256 * e[i] + sum / 2) / sum - 128), scale 1/256.
 * channels: 1 .. 1024. table: 256 entries, docs/integer-contract.md; entry 0 is 2^15.
 * in, out: positions * channels int8; out may start where in starts, or below. Cannot fail. */
NN_INLINE void nn_softmax(int32_t positions, int32_t channels, const uint16_t *table, const int8_t *in,
                          int8_t *out);

#include "nn_softmax_portable.h"

#endif
