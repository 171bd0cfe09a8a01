/* nn_max_pool.h - maximum over a window.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_MAX_POOL_H
#define NN_MAX_POOL_H

#include "../nn_arith.h"

/* out[y][x][ch] = the largest of the window's elements that lie inside the image, -128 if none does.
 * s: in in_h x in_w x in_c, out out_h x out_w x out_c, axes h, w, c; out_c = in_c; any kernel, stride,
 * padding. in and out must not overlap. Cannot fail. */
NN_INLINE void nn_max_pool(const nn_window_shape *s, const int8_t *in, int8_t *out);

#include "nn_max_pool_body.h"

#endif
