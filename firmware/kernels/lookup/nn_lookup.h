/* nn_lookup.h - any function of one element, by a table.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[i] = table[in[i] + 128], i < count.
 *
 * count:    int32; literal; 1 .. 2^31 - 1
 * table:    int8[256]; read; the first for -128
 * in:       int8[count]; read
 * out:      int8[count]; written
 * aliasing: in is read before each 1 of out, from y
 * fails:    never
 */
#ifndef NN_LOOKUP_H
#define NN_LOOKUP_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_lookup(int32_t count, const int8_t *table, const int8_t *in, int8_t *out);

#include "nn_lookup_portable.h"

#endif
