/* nn_copy.h - copy a run of bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_COPY_H
#define NN_COPY_H

#include "../nn_arith.h"

/* Four words, which a Cortex-M loads and stores by one instruction each. */
typedef struct {
    uint32_t words[4];
} __attribute__((may_alias)) nn_block;

typedef uint32_t __attribute__((may_alias)) nn_word;

/* out[i] = in[i] for i in 0 .. size - 1, in blocks that are read before they are written, upwards.
 * align: literal; 4: in, out and size are multiples of 4, and no block of out lies over one of in that is
 * not read yet; 1: any. size >= 0. */
NN_INLINE void nn_copy(int32_t align, int32_t size, const int8_t *in, int8_t *out);

/* nn_copy of bytes that may lie anywhere. */
NN_INLINE void nn_copy_bytes(int32_t size, const int8_t *in, int8_t *out);

NN_INLINE void nn_copy_block(const int8_t *in, int8_t *out)
{
    *(nn_block *)(void *)out = *(const nn_block *)(const void *)in;
}

#if NN_KERNELS_USE_DSP
#include "nn_copy_dsp.h"
#else
#include "nn_copy_portable.h"
#endif

NN_INLINE void nn_copy(int32_t align, int32_t size, const int8_t *in, int8_t *out)
{
    const int32_t by_64 = size & ~63;
    const int32_t by_16 = size & ~15;
    if (align != 4) {
        nn_copy_bytes(size, in, out);
        return;
    }
    for (int32_t i = 0; i < by_64; i += 64) {
        nn_copy_block(in + i, out + i);
        nn_copy_block(in + i + 16, out + i + 16);
        nn_copy_block(in + i + 32, out + i + 32);
        nn_copy_block(in + i + 48, out + i + 48);
    }
    for (int32_t i = by_64; i < by_16; i += 16) {
        nn_copy_block(in + i, out + i);
    }
    for (int32_t i = by_16; i < size; i += 4) {
        *(nn_word *)(void *)(out + i) = *(const nn_word *)(const void *)(in + i);
    }
}

#endif
