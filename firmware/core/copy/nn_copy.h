/* nn_copy.h - copy a run of bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_COPY_H
#define NN_COPY_H

#include "../nn_arith.h"

typedef uint32_t __attribute__((may_alias)) nn_word;

/* out[i] = in[i] for i in 0 .. size - 1, in blocks that are read before they are written, upwards.
 * align: literal; 4: in, out and size are multiples of 4; 1: any. size >= 0. */
NN_INLINE void nn_copy(int32_t align, int32_t size, const int8_t *in, int8_t *out);

/* out[i] = fill for i in 0 .. size - 1; fill: -128 .. 127. align: literal; 4: out and size are multiples of
 * 4; 1: any. size >= 0. */
NN_INLINE void nn_fill(int32_t align, int32_t size, int32_t fill, int8_t *out);

/* nn_copy and nn_fill of bytes that may lie anywhere. */
NN_INLINE void nn_copy_bytes(int32_t size, const int8_t *in, int8_t *out);
NN_INLINE void nn_fill_bytes(int32_t size, int32_t fill, int8_t *out);

#if NN_SCHEDULED
/* nn_copy_block, and the same without moving the pointers. */
NN_INLINE void nn_copy_block_asm(const int8_t **in, int8_t **out);
NN_INLINE void nn_copy_alone_asm(const int8_t *in, int8_t *out);

#include "nn_copy_asm.h"
#endif

#if NN_KERNELS_USE_DSP
#include "nn_copy_dsp.h"
#else
#include "nn_copy_portable.h"
#endif

/* Copy four words and move both pointers behind them. */
NN_INLINE void nn_copy_block(const int8_t **in, int8_t **out)
{
#if NN_SCHEDULED
    nn_copy_block_asm(in, out);
#else
    const nn_word *const from = (const nn_word *)(const void *)*in;
    nn_word *const to = (nn_word *)(void *)*out;
    const uint32_t a = from[0];
    const uint32_t b = from[1];
    const uint32_t c = from[2];
    const uint32_t d = from[3];
    to[0] = a;
    to[1] = b;
    to[2] = c;
    to[3] = d;
    *in += 16;
    *out += 16;
#endif
}

NN_INLINE void nn_copy(int32_t align, int32_t size, const int8_t *in, int8_t *out)
{
    if (align != 4) {
        nn_copy_bytes(size, in, out);
        return;
    }
#if NN_SCHEDULED
    if (size == 16) {
        nn_copy_alone_asm(in, out);
        return;
    }
#endif
    for (int32_t left = size / 64; left > 0; left--) {
        nn_copy_block(&in, &out);
        nn_copy_block(&in, &out);
        nn_copy_block(&in, &out);
        nn_copy_block(&in, &out);
    }
    for (int32_t left = size % 64 / 16; left > 0; left--) {
        nn_copy_block(&in, &out);
    }
    for (int32_t i = 0; i < size % 16; i += 4) {
        *(nn_word *)(void *)(out + i) = *(const nn_word *)(const void *)(in + i);
    }
}

NN_INLINE void nn_fill(int32_t align, int32_t size, int32_t fill, int8_t *out)
{
    const uint32_t quad = (uint8_t)fill * UINT32_C(0x01010101);
    if (align != 4) {
        nn_fill_bytes(size, fill, out);
        return;
    }
    for (int32_t i = 0; i < size; i += 4) {
        *(nn_word *)(void *)(out + i) = quad;
    }
}

#endif
