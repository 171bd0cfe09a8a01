/* nn_lookup.h - any function of one element, by a table.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_LOOKUP_H
#define NN_LOOKUP_H

#include "../../core/nn_arith.h"

/* out[i] = table[in[i] + 128], i < count. table: 256 entries, the first for -128.
 * out may start where in starts, or below: element i is read before out[i] is written. Cannot fail. */
NN_INLINE void nn_lookup(int32_t count, const int8_t *table, const int8_t *in, int8_t *out);

#include "nn_lookup_portable.h"

#endif
