/* nn_simd.h - the few instructions the kernels are built from, under one name on every machine.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A pair is two int16 in a uint32_t, the first in the low half; a quad is four int8, the first in the low
 * byte. nn_simd_dsp.h has them as instructions of the DSP extension, nn_simd_portable.h in C.
 *
 *   nn_load_pair(p)         the two int16 at p; p is 2-byte aligned, fastest when 4-byte aligned
 *   nn_load_quad(p)         the four int8 at p, any alignment
 *   nn_store_pair(p, v)     inverse of nn_load_pair
 *   nn_store_quad(p, v)     inverse of nn_load_quad
 *   nn_smlad(x, y, acc)     acc + x.lo * y.lo + x.hi * y.hi
 *   nn_smlabb, _smlatt      acc + x.lo * y.lo, acc + x.hi * y.hi
 *   nn_smlabt, _smlatb      acc + x.lo * y.hi, acc + x.hi * y.lo
 *   nn_sxtb16(q)            bytes 0 and 2 as a pair
 *   nn_sxtb16_ror8(q)       bytes 1 and 3 as a pair
 *   nn_sxtab16(base, q)     base + bytes 0 and 2, each half on its own, modulo 2^16
 *   nn_sxtab16_ror8(base, q)  base + bytes 1 and 3, likewise
 *   nn_pack_low(a, b)       (a.lo, b.lo)
 *   nn_pack_high(a, b)      (a.hi, b.hi)
 *   nn_smmlar(a, b, acc)    acc + ((a * b + 2^31) >> 32); must fit int32
 *   nn_ssat8_asr(x, n)      x >> n saturated to int8, n 0..22
 *   nn_max_quad(a, b)       the larger of each pair of bytes
 *   NN_OPAQUE(x)            x, of which the compiler knows nothing any more
 *   NN_KEEP_LOOP            before a loop: do not unroll it, where code size matters more than its overhead
 */
#ifndef NN_SIMD_H
#define NN_SIMD_H

#include "../../nn_kernels.h"
#include "../nn_layer.h"

NN_INLINE uint32_t nn_load_pair(const int16_t *p);
NN_INLINE uint32_t nn_load_quad(const int8_t *p);
NN_INLINE void nn_store_pair(int16_t *p, uint32_t v);
NN_INLINE void nn_store_quad(int8_t *p, uint32_t v);
NN_INLINE int32_t nn_smlad(uint32_t x, uint32_t y, int32_t acc);
NN_INLINE int32_t nn_smlabb(uint32_t x, uint32_t y, int32_t acc);
NN_INLINE int32_t nn_smlatt(uint32_t x, uint32_t y, int32_t acc);
NN_INLINE int32_t nn_smlabt(uint32_t x, uint32_t y, int32_t acc);
NN_INLINE int32_t nn_smlatb(uint32_t x, uint32_t y, int32_t acc);
NN_INLINE uint32_t nn_sxtb16(uint32_t q);
NN_INLINE uint32_t nn_sxtb16_ror8(uint32_t q);
NN_INLINE uint32_t nn_sxtab16(uint32_t base, uint32_t q);
NN_INLINE uint32_t nn_sxtab16_ror8(uint32_t base, uint32_t q);
NN_INLINE uint32_t nn_pack_low(uint32_t a, uint32_t b);
NN_INLINE uint32_t nn_pack_high(uint32_t a, uint32_t b);
NN_INLINE int32_t nn_smmlar(int32_t a, int32_t b, int32_t acc);
NN_INLINE int32_t nn_ssat8_asr(int32_t x, int32_t n);
NN_INLINE uint32_t nn_max_quad(uint32_t a, uint32_t b);

/* Memory access is the same C everywhere: the compiler turns it into one load or store. */
NN_INLINE uint32_t nn_load_pair(const int16_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

NN_INLINE uint32_t nn_load_quad(const int8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

NN_INLINE void nn_store_pair(int16_t *p, uint32_t v)
{
    __builtin_memcpy(p, &v, sizeof v);
}

NN_INLINE void nn_store_quad(int8_t *p, uint32_t v)
{
    __builtin_memcpy(p, &v, sizeof v);
}

#if NN_KERNELS_USE_DSP && !NN_SIMD_IN_C
#include "nn_simd_dsp.h"
#else
#include "nn_simd_portable.h"
#endif

#endif
