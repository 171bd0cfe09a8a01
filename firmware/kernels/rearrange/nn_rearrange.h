/* nn_rearrange.h - bytes in another order, read by six nested loops.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[0], out[1], ... = in[offset + i0 * s0 + i1 * s1 + ... + i5 * s5], i5 the fastest, each i from 0 to its
 * n less 1. The runs of n5 bytes are contiguous where s5 is 1.
 *
 * loops:    nn_loops; literal; every n at least 1, any s; no byte before in or behind its last is met
 * count:    int32; literal; 1 .. 2^31 - 1
 * offset:   int32; literal; 0 .. count - 1
 * align:    int32; literal; 1, 4;
 *           4 where in and out begin with a word, s5 is 1 and offset, n5 and the other s are multiples of 4
 * in:       int8[count]; read
 * out:      int8[n0 * n1 * n2 * n3 * n4 * n5]; written
 * fails:    never
 */
#ifndef NN_REARRANGE_H
#define NN_REARRANGE_H

#include "../../core/copy/nn_copy.h"

NN_INLINE void nn_rearrange(const nn_loops *loops, int32_t count, int32_t offset, int32_t align,
                            const int8_t *in, int8_t *out);

#include "nn_rearrange_portable.h"

#endif
