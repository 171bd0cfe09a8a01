/* nn_simd_dsp.h - nn_simd.h as instructions of the Armv7E-M DSP extension.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Intrinsics come from the Arm C Language Extensions. What they lack (rotated SXTB16, SXTAB16 and SMMLAR,
 * SSAT with a shift) is one line of inline assembly each, without side effects, so the compiler may move it.
 */
#ifndef NN_SIMD_DSP_H
#define NN_SIMD_DSP_H

#include "nn_simd.h"

#include <arm_acle.h>

#define NN_KEEP_LOOP _Pragma("GCC unroll 1")

NN_INLINE uint32_t nn_opaque(uint32_t x)
{
    __asm__("" : "+r"(x));
    return x;
}
#define NN_OPAQUE(x) nn_opaque(x)

NN_INLINE int32_t nn_smlad(uint32_t x, uint32_t y, int32_t acc)
{
    return __smlad((int16x2_t)x, (int16x2_t)y, acc);
}

NN_INLINE int32_t nn_smlabb(uint32_t x, uint32_t y, int32_t acc)
{
    return __smlabb((int32_t)x, (int32_t)y, acc);
}

NN_INLINE int32_t nn_smlatt(uint32_t x, uint32_t y, int32_t acc)
{
    return __smlatt((int32_t)x, (int32_t)y, acc);
}

NN_INLINE int32_t nn_smlabt(uint32_t x, uint32_t y, int32_t acc)
{
    return __smlabt((int32_t)x, (int32_t)y, acc);
}

NN_INLINE int32_t nn_smlatb(uint32_t x, uint32_t y, int32_t acc)
{
    return __smlatb((int32_t)x, (int32_t)y, acc);
}

NN_INLINE uint32_t nn_sxtb16(uint32_t q)
{
    return (uint32_t)__sxtb16((int8x4_t)q);
}

NN_INLINE uint32_t nn_sxtb16_ror8(uint32_t q)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(q));
    return pair;
}

NN_INLINE uint32_t nn_sxtab16(uint32_t base, uint32_t q)
{
    return (uint32_t)__sxtab16((int16x2_t)base, (int8x4_t)q);
}

NN_INLINE uint32_t nn_sxtab16_ror8(uint32_t base, uint32_t q)
{
    uint32_t pair;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(pair) : "r"(base), "r"(q));
    return pair;
}

NN_INLINE uint32_t nn_pack_low(uint32_t a, uint32_t b)
{
    uint32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
}

NN_INLINE uint32_t nn_pack_high(uint32_t a, uint32_t b)
{
    uint32_t pair;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(b), "r"(a));
    return pair;
}

NN_INLINE int32_t nn_smmlar(int32_t a, int32_t b, int32_t acc)
{
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(acc));
    return result;
}

NN_INLINE int32_t nn_ssat8_asr(int32_t x, int32_t n)
{
    int32_t result;
    if (__builtin_constant_p(n) && n > 0) {
        __asm__("ssat %0, #8, %1, asr %2" : "=r"(result) : "r"(x), "I"(n));
    } else {
        __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(x >> n));
    }
    return result;
}

NN_INLINE uint32_t nn_max_quad(uint32_t a, uint32_t b)
{
    (void)__ssub8((int8x4_t)a, (int8x4_t)b); /* sets GE where a >= b; SEL then takes a */
    return __sel(a, b);
}

#endif
