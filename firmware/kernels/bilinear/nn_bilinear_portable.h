/* nn_bilinear_portable.h - contract in nn_bilinear.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_BILINEAR_PORTABLE_H
#define NN_BILINEAR_PORTABLE_H

#include "nn_bilinear.h"

/* The elements on either side of an output along one axis, and the weight of the second, 0 .. 2^11. */
typedef struct {
    int32_t first, second, weight;
} nn_bilinear_place;

/* Where output o of out lies among in elements. */
NN_INLINE nn_bilinear_place nn_bilinear_at(int32_t o, int32_t in, int32_t out, int32_t align_corners)
{
    const int32_t unit = align_corners ? nn_max(out - 1, 1) : 2 * out;
    const int32_t corner = out > 1 ? o * (in - 1) : 0;
    const int32_t at = align_corners ? corner : nn_max(0, (2 * o + 1) * in - out);
    nn_bilinear_place place;
    place.first = at / unit;
    place.second = nn_min(place.first + 1, in - 1);
    place.weight = ((at - place.first * unit) * (1 << 11) + unit / 2) / unit;
    return place;
}

NN_INLINE void nn_bilinear(const nn_window_shape *s, int32_t align_corners, const int8_t *in, int8_t *out)
{
    const int32_t row = s->in_w * s->in_c;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        const nn_bilinear_place y = nn_bilinear_at(oy, s->in_h, s->out_h, align_corners);
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const nn_bilinear_place x = nn_bilinear_at(ox, s->in_w, s->out_w, align_corners);
            const int8_t *above = in + y.first * row;
            const int8_t *below = in + y.second * row;
            const int32_t left = x.first * s->in_c;
            const int32_t right = x.second * s->in_c;
            const int32_t near = (1 << 11) - x.weight;
            for (int32_t ch = 0; ch < s->out_c; ch++) {
                const int32_t top = above[left + ch] * near + above[right + ch] * x.weight;
                const int32_t bottom = below[left + ch] * near + below[right + ch] * x.weight;
                *out++ = (int8_t)((top * ((1 << 11) - y.weight) + bottom * y.weight + (1 << 21)) >> 22);
            }
        }
    }
}

#endif
