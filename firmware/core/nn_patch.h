/* nn_patch.h - the sliding patch buffer of docs/adr/0002-sliding-patch-buffer.md.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Layout: buffer[x][ky][c], x over the padded width, c channels (in_c plus padding channels). The patch of
 * output column ox is contiguous and starts ox * nn_patch_step elements after the base that nn_patch_row
 * returns.
 */
#ifndef NN_PATCH_H
#define NN_PATCH_H

#include "expand/nn_expand.h"

/* Elements from the patch of an output column to the next one's. */
NN_INLINE int32_t nn_patch_step(const nn_window_shape *s, int32_t c)
{
    return s->stride_w * s->kernel_h * c;
}

/* Write one input row into kernel row ky of every column; slot points to that kernel row of column 0.
 * Rows and columns outside the image, and padding channels, become 0. */
NN_INLINE void nn_patch_put_row(const nn_window_shape *s, int32_t c, int32_t zero_point, int32_t row,
                                const int8_t *in, int16_t *slot)
{
    const int32_t column_elements = s->kernel_h * c;
    const int32_t columns = (s->out_w - 1) * s->stride_w + s->kernel_w;
    const int32_t first = nn_min(s->pad_left, columns);
    const int32_t end = nn_min(s->pad_left + s->in_w, columns);
    const int8_t *pixel = in + row * s->in_w * s->in_c;
    int32_t x = 0;
    if (row < 0 || row >= s->in_h) {
        for (; x < columns; x++) {
            nn_fill_zero(slot + x * column_elements, c);
        }
        return;
    }
    for (; x < first; x++) {
        nn_fill_zero(slot + x * column_elements, c);
    }
    if (s->kernel_h == 1 && c == s->in_c) {
        nn_expand(pixel, (end - first) * c, zero_point, slot + x * c);
        x = end;
    }
    for (; x < end; x++) {
        nn_expand(pixel, s->in_c, zero_point, slot + x * column_elements);
        nn_fill_zero(slot + x * column_elements + s->in_c, c - s->in_c);
        pixel += s->in_c;
    }
    for (; x < columns; x++) {
        nn_fill_zero(slot + x * column_elements, c);
    }
}

/* The same for the channels of one part of a map; the last part also writes the padding channels. in: what
 * the part is read from. */
NN_INLINE void nn_patch_put_part(const nn_window_shape *s, const nn_part *p, int32_t c, int32_t zero_point,
                                 int32_t row, const int8_t *in, int16_t *slot)
{
    const int32_t column_elements = s->kernel_h * c;
    const int32_t columns = (s->out_w - 1) * s->stride_w + s->kernel_w;
    const int32_t is_inside = row >= 0 && row < s->in_h;
    const int32_t first = is_inside ? nn_min(s->pad_left, columns) : columns;
    const int32_t end = is_inside ? nn_min(s->pad_left + s->in_w, columns) : columns;
    const int32_t spare = p->first + p->channels == s->in_c ? c - s->in_c : 0;
    const int8_t *pixel = in + p->offset;
    int32_t left = p->column_repeat; /* columns before the outer loop's next round */
    int32_t x = 0;
    slot += p->first;
    if (is_inside) {
        pixel += row / p->row_repeat * p->row_outer + row % p->row_repeat * p->row_inner;
    }
    for (; x < first; x++) {
        nn_fill_zero(slot + x * column_elements, p->channels + spare);
    }
    for (; x < end; x++) {
        nn_expand(pixel, p->channels, zero_point, slot + x * column_elements);
        nn_fill_zero(slot + x * column_elements + p->channels, spare);
        if (p->column_repeat == 1 || --left == 0) {
            pixel += p->column_outer - (p->column_repeat - 1) * p->column_inner;
            left = p->column_repeat;
        } else {
            pixel += p->column_inner;
        }
    }
    for (; x < columns; x++) {
        nn_fill_zero(slot + x * column_elements, p->channels + spare);
    }
}

/* Where output row oy finds the patch of its column 0. */
NN_INLINE int16_t *nn_patch_base(const nn_window_shape *s, int32_t c, int32_t oy, int16_t *scratch)
{
    return s->stride_h < s->kernel_h ? scratch + oy * s->stride_h * c : scratch;
}

/* The first kernel row that output row oy does not find expanded by the one before it. */
NN_INLINE int32_t nn_patch_fresh(const nn_window_shape *s, int32_t oy)
{
    return s->stride_h < s->kernel_h && oy > 0 ? s->kernel_h - s->stride_h : 0;
}

/* Bring the buffer to output row oy and return its base: the patch of output column 0.
 * Must be called for oy = 0, 1, 2, ... in this order; each input row is expanded once if stride_h <=
 * kernel_h. in: in_h * in_w * in_c int8. scratch: 8-byte aligned, sized as docs/adr/0002 says. They must not
 * overlap; what lies over rows already expanded may change. c: in_c rounded up to the kernel's multiple. */
NN_INLINE int16_t *nn_patch_row(const nn_window_shape *s, int32_t c, int32_t zero_point, int32_t oy,
                                const int8_t *in, int16_t *scratch)
{
    int16_t *base = nn_patch_base(s, c, oy, scratch);
    for (int32_t ky = nn_patch_fresh(s, oy); ky < s->kernel_h; ky++) {
        nn_patch_put_row(s, c, zero_point, oy * s->stride_h - s->pad_top + ky, in, base + ky * c);
    }
    return base;
}

#endif
