/* nn_span.h - the windows of poolings along one axis; docs/integer-contract.md.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_SPAN_H
#define NN_SPAN_H

#include "nn_arith.h"

/* From the first row or column to before end. */
typedef struct {
    int32_t first, end;
} nn_span;

/* Window o of out windows over in elements; it may begin or end outside. Stride 0: those of an adaptive pool;
 * (out + 1) * in < 2^31. */
NN_INLINE nn_span nn_span_of(int32_t o, int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad)
{
    nn_span span = {o * stride - pad, o * stride - pad + kernel};
    if (stride == 0) {
        span.first = o * in / out;
        span.end = ((o + 1) * in + out - 1) / out;
    }
    return span;
}

/* What of the span lies in low .. high - 1; never less than nothing. */
NN_INLINE nn_span nn_span_within(nn_span span, int32_t low, int32_t high)
{
    nn_span part = {nn_max(low, span.first), nn_min(high, span.end)};
    part.end = nn_max(part.first, part.end);
    return part;
}

/* The window's rows of output row oy. */
NN_INLINE nn_span nn_span_rows(const nn_window_shape *s, int32_t oy)
{
    return nn_span_of(oy, s->in_h, s->out_h, s->kernel_h, s->stride_h, s->pad_top);
}

/* The window's columns of output column ox. */
NN_INLINE nn_span nn_span_columns(const nn_window_shape *s, int32_t ox)
{
    return nn_span_of(ox, s->in_w, s->out_w, s->kernel_w, s->stride_w, s->pad_left);
}

#endif
