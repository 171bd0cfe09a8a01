/* nn_pad.h - bytes around every run of a value, around every row of runs and around all rows.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out is top times fill, then for each of rows: left times fill, for each of its runs: front times fill, the
 * next size bytes of in, back times fill; and right times fill; and at the end bottom times fill.
 *
 * s:        nn_gaps; literal; rows, runs and size at least 1, the others at least 0
 * fill:     int32; literal; -128 .. 127
 * align:    int32; literal; 1, 4; 4 where in and out begin with a word and all bytes of s are multiples of 4
 * in:       int8[rows * runs * size]; read
 * out:      int8[top + rows * (left + runs * (front + size + back) + right) + bottom]; written
 * fails:    never
 */
#ifndef NN_PAD_H
#define NN_PAD_H

#include "../../core/copy/nn_copy.h"

NN_INLINE void nn_pad(const nn_gaps *s, int32_t fill, int32_t align, const int8_t *in, int8_t *out);

#include "nn_pad_portable.h"

#endif
