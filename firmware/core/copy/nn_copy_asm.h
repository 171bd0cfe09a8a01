/* nn_copy_asm.h - copy four words by two instructions that move both pointers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * twin:      nn_copy_block in nn_copy.h
 * registers: in, out and the four words
 * flags:     unchanged
 * check:     NN_COPY_BLOCK() has 2 instructions
 * cycles:    10 on Cortex-M4, modelled
 */
#ifndef NN_COPY_ASM_H
#define NN_COPY_ASM_H

#include "nn_copy.h"

/* update: ! to move the pointers, or nothing. */
#define NN_COPY_BLOCK(update)                        \
    "ldmia   %[in]" #update ", {r3, r4, r5, r6}\n\t" \
    "stmia   %[out]" #update ", {r3, r4, r5, r6}\n\t"

NN_INLINE void nn_copy_block_asm(const int8_t **in, int8_t **out)
{
    const int8_t *i = *in;
    int8_t *o = *out;
    __asm__ volatile(NN_COPY_BLOCK(!) : [in] "+r"(i), [out] "+r"(o) : : "r3", "r4", "r5", "r6", "memory");
    *in = i;
    *out = o;
}

NN_INLINE void nn_copy_alone_asm(const int8_t *in, int8_t *out)
{
    __asm__ volatile(NN_COPY_BLOCK() : : [in] "r"(in), [out] "r"(out) : "r3", "r4", "r5", "r6", "memory");
}

#endif
