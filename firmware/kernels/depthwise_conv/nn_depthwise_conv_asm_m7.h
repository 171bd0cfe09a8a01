/* nn_depthwise_conv_asm_m7.h - the inner loops of depthwise layers, scheduled by hand for Cortex-M7.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The rules behind the order: a multiplication shares its cycle with a load, which may replace what it reads
 * and is ready two cycles later (as accumulator, one), or with an SSAT two cycles after the result was
 * started, if the SSAT comes first; not with a store. A store shares its cycle with an SSAT or a load. So the
 * words of a tile are loaded under the multiplications before, the next tile's first under the stores.
 * Constants wait on the stack, because a move from the FPU takes three cycles.
 *
 * check: NN_DW_TILE_STRIDE_1 has 50 instructions
 * check: NN_DW_TILE_STRIDE_2 has 57 instructions
 */
#ifndef NN_DEPTHWISE_CONV_ASM_M7_H
#define NN_DEPTHWISE_CONV_ASM_M7_H

#define NN_DW_HELD       "m"
#define NN_DW_HOLD(bits) (bits)
#define NN_DW_FETCH      "ldr.w   "
#define nn_dw_held       uint32_t

#define NN_DW_REQUANTIZE(t)      "smmlar  %[" #t "], %[" #t "], %[a], %[b]\n\t"
#define NN_DW_SATURATE(t)        "ssat    %[" #t "], #8, %[" #t "], asr %[shift]\n\t"
#define NN_DW_STORE(t, at, byte) "strb.w  %[" #t "], [%[" #at "], #(" byte ")]\n\t"
#define NN_DW_RIGHT              "%c[pixel]"
#define NN_DW_BELOW              "%c[line]"
#define NN_DW_BELOW_RIGHT        "%c[line] + %c[pixel]"

/* clang-format off */
/* Stride 1: 8 loads and 24 multiplications for 4 outputs. w0 w1, w2 w3, w4 w5: a kernel row's (w0, w1) and
 * (w1, w2). b: the second word of row 1. */
#define NN_DW_TILE_STRIDE_1_START NN_DW_WORD(b, 1, 4)
#define NN_DW_TILE_STRIDE_1                                                         \
    NN_DW_WORD(v0, 0, 0) NN_DW_WORD(v1, 0, 4)                                       \
    NN_DW_FIRST(smulbt, u0, b, w3) NN_DW_WORD(a, 1, 0)                              \
    NN_DW_FIRST(smuad, u1, b, w3)                                                   \
    NN_DW_MAC(smlad, u0, v0, w0)                                                    \
    NN_DW_MAC(smlatb, u1, v0, w0)                                                   \
    NN_DW_MAC(smlabt, u0, v1, w1)                                                   \
    NN_DW_MAC(smlad, u1, v1, w1)                                                    \
    NN_DW_FIRST(smuad, v0, a, w0)                                                   \
    NN_DW_FIRST(smultb, v1, a, w0)                                                  \
    NN_DW_MAC(smlad, u0, a, w2)                                                     \
    NN_DW_MAC(smlatb, u1, a, w2) NN_DW_WORD(a, 2, 0)                                \
    NN_DW_MAC(smlabt, v0, b, w1)                                                    \
    NN_DW_MAC(smlad, v1, b, w1) NN_DW_WORD(b, 2, 4)                                 \
    NN_DW_MAC(smlad, u0, a, w4)                                                     \
    NN_DW_MAC(smlatb, u1, a, w4)                                                    \
    NN_DW_MAC(smlad, v0, a, w2)                                                     \
    NN_DW_MAC(smlatb, v1, a, w2) NN_DW_WORD(a, 3, 0)                                \
    NN_DW_MAC(smlabt, u0, b, w5)                                                    \
    NN_DW_MAC(smlad, u1, b, w5)                                                     \
    NN_DW_MAC(smlabt, v0, b, w3)                                                    \
    NN_DW_MAC(smlad, v1, b, w3) NN_DW_WORD(b, 3, 4)                                 \
    NN_DW_MAC(smlad, v0, a, w4)                                                     \
    NN_DW_MAC(smlatb, v1, a, w4) NN_DW_FETCH "%[a], %[multiplier]\n\t"              \
    NN_DW_MAC(smlabt, v0, b, w5)                                                    \
    NN_DW_MAC(smlad, v1, b, w5) NN_DW_FETCH "%[b], %[bias]\n\t"                     \
    NN_DW_REQUANTIZE(u0) "add.w   %[x], %[x], #4\n\t"                               \
    NN_DW_REQUANTIZE(u1)                                                            \
    NN_DW_REQUANTIZE(v0)                                                            \
    NN_DW_SATURATE(u0) NN_DW_REQUANTIZE(v1)                                         \
    NN_DW_FROM_FPU "%[a], %[out]\n\t"                                               \
    NN_DW_SATURATE(u1) NN_DW_WORD(b, 1, 4)                                          \
    NN_DW_SATURATE(v0)                                                              \
    NN_DW_SATURATE(v1) NN_DW_STORE(u0, a, "0")                                      \
    "addw    %[u0], %[a], #(%c[pixel] * 2)\n\t" NN_DW_STORE(u1, a, NN_DW_RIGHT)     \
    NN_DW_STORE(v0, a, NN_DW_BELOW) NN_DW_TO_FPU("%[u0]", "%[out]")                 \
    NN_DW_STORE(v1, a, NN_DW_BELOW_RIGHT)

/* Stride 2: 15 loads and 24 multiplications for 4 outputs. w0, w2, w4: a kernel row's (w0, w1); w1: the last
 * weights of rows 0 and 1, w5: of row 2 in the high half. a, b: the first words of row 0. */
#define NN_DW_TILE_STRIDE_2_START NN_DW_WORD(a, 0, 0) NN_DW_WORD(b, 0, 4)
#define NN_DW_TILE_STRIDE_2                                                         \
    NN_DW_FIRST(smuad, u0, a, w0) NN_DW_WORD(c, 0, 8)                               \
    NN_DW_FIRST(smuad, u1, b, w0) NN_DW_WORD(a, 1, 0)                               \
    NN_DW_MAC(smlabb, u0, b, w1) NN_DW_WORD(b, 1, 4)                                \
    NN_DW_MAC(smlabb, u1, c, w1) NN_DW_WORD(c, 1, 8)                                \
    NN_DW_MAC(smlad, u0, a, w2) NN_DW_WORD(a, 2, 0)                                 \
    NN_DW_MAC(smlad, u1, b, w2)                                                     \
    NN_DW_MAC(smlabt, u0, b, w1) NN_DW_WORD(b, 2, 4)                                \
    NN_DW_MAC(smlabt, u1, c, w1) NN_DW_WORD(c, 2, 8)                                \
    NN_DW_MAC(smlad, u0, a, w4)                                                     \
    NN_DW_FIRST(smuad, v0, a, w0) NN_DW_WORD(a, 3, 0)                               \
    NN_DW_MAC(smlad, u1, b, w4)                                                     \
    NN_DW_FIRST(smuad, v1, b, w0)                                                   \
    NN_DW_MAC(smlabt, u0, b, w5)                                                    \
    NN_DW_MAC(smlabb, v0, b, w1) NN_DW_WORD(b, 3, 4)                                \
    NN_DW_MAC(smlabt, u1, c, w5)                                                    \
    NN_DW_MAC(smlabb, v1, c, w1) NN_DW_WORD(c, 3, 8)                                \
    NN_DW_MAC(smlad, v0, a, w2) NN_DW_WORD(a, 4, 0)                                 \
    NN_DW_MAC(smlad, v1, b, w2)                                                     \
    NN_DW_MAC(smlabt, v0, b, w1) NN_DW_WORD(b, 4, 4)                                \
    NN_DW_MAC(smlabt, v1, c, w1) NN_DW_WORD(c, 4, 8)                                \
    NN_DW_MAC(smlad, v0, a, w4) NN_DW_FETCH "%[a], %[multiplier]\n\t"               \
    NN_DW_MAC(smlad, v1, b, w4)                                                     \
    NN_DW_MAC(smlabt, v0, b, w5) NN_DW_FETCH "%[b], %[bias]\n\t"                    \
    NN_DW_MAC(smlabt, v1, c, w5) NN_DW_FROM_FPU "%[c], %[out]\n\t"                  \
    NN_DW_REQUANTIZE(u0) "add.w   %[x], %[x], #8\n\t"                               \
    NN_DW_REQUANTIZE(u1)                                                            \
    NN_DW_SATURATE(u0) NN_DW_REQUANTIZE(v0)                                         \
    NN_DW_SATURATE(u1) NN_DW_REQUANTIZE(v1)                                         \
    NN_DW_SATURATE(v0) NN_DW_STORE(u0, c, "0")                                      \
    "addw    %[u0], %[c], #(%c[pixel] * 2)\n\t" NN_DW_WORD(a, 0, 0)                 \
    NN_DW_SATURATE(v1) NN_DW_STORE(u1, c, NN_DW_RIGHT)                              \
    NN_DW_STORE(v0, c, NN_DW_BELOW) NN_DW_WORD(b, 0, 4)                             \
    NN_DW_STORE(v1, c, NN_DW_BELOW_RIGHT) NN_DW_TO_FPU("%[u0]", "%[out]")
/* clang-format on */

#endif
