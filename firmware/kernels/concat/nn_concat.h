/* nn_concat.h - one input of a concatenation.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[i * step + offset + k] = in[i * size + k], i < runs, k < size: an input that falls into runs of size
 * bytes is copied into an output whose runs are step bytes long. Nothing else of out is written.
 *
 * runs:     int32; literal; 1 .. 2^31 - 1
 * size:     int32; literal; 1 .. step
 * offset:   int32; literal; 0 .. step - size
 * step:     int32; literal; 1 .. 2^31 - 1
 * align:    int32; literal; 1, 4;
 *           4 where in and out begin with a word and size, offset and step are multiples of 4
 * in:       int8[runs * size]; read
 * out:      int8[runs * step]; written
 * aliasing: in is read before each 1 of out, from y / step * size + min(max(y % step - offset, 0), size)
 * fails:    never
 */
#ifndef NN_CONCAT_H
#define NN_CONCAT_H

#include "../../core/copy/nn_copy.h"

NN_INLINE void nn_concat(int32_t runs, int32_t size, int32_t offset, int32_t step, int32_t align,
                         const int8_t *in, int8_t *out);

#include "nn_concat_portable.h"

#endif
