/* nn_depthwise_conv_asm_dsp.h - the inner loops of depthwise layers, scheduled by hand for the Cortex-M4.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The rules behind the order: n loads in a row take n + 1 cycles but 2n when something stands between them,
 * and an address computed by the instruction before costs one more; a move from the FPU takes one cycle.
 *
 * check:  NN_DW_TILE_STRIDE_1 has 49 instructions
 * check:  NN_DW_TILE_STRIDE_2 has 56 instructions
 * passes: two tiles and 3 instructions where a row has an even number of tiles, else one
 */
#ifndef NN_DEPTHWISE_CONV_ASM_DSP_H
#define NN_DEPTHWISE_CONV_ASM_DSP_H

#define NN_DW_HELD       NN_DW_IN_FPU
#define NN_DW_HOLD(bits) nn_dw_move_to_fpu(bits)
#define NN_DW_FETCH      NN_DW_FROM_FPU
#define nn_dw_held       nn_dw_in_fpu

/* clang-format off */
/* Requantize and store the tile u0 u1 / v0 v1; a and b are free. */
#define NN_DW_FINISH                                                                \
    NN_DW_FETCH "%[a], %[multiplier]\n\t"                                           \
    NN_DW_FETCH "%[b], %[bias]\n\t"                                                 \
    "smmlar  %[u0], %[u0], %[a], %[b]\n\t"                                          \
    "smmlar  %[u1], %[u1], %[a], %[b]\n\t"                                          \
    "smmlar  %[v0], %[v0], %[a], %[b]\n\t"                                          \
    "smmlar  %[v1], %[v1], %[a], %[b]\n\t"                                          \
    NN_DW_FROM_FPU "%[a], %[out]\n\t"                                               \
    "ssat    %[u0], #8, %[u0], asr %[shift]\n\t"                                    \
    "ssat    %[u1], #8, %[u1], asr %[shift]\n\t"                                    \
    "addw    %[b], %[a], #(%c[pixel] * 2)\n\t"                                      \
    "strb.w  %[u0], [%[a]]\n\t"                                                     \
    "ssat    %[v0], #8, %[v0], asr %[shift]\n\t"                                    \
    "strb.w  %[u1], [%[a], #(%c[pixel])]\n\t"                                       \
    "ssat    %[v1], #8, %[v1], asr %[shift]\n\t"                                    \
    "strb.w  %[v0], [%[a], #(%c[line])]\n\t"                                        \
    NN_DW_TO_FPU("%[b]", "%[out]")                                                  \
    "strb.w  %[v1], [%[a], #(%c[line] + %c[pixel])]\n\t"

/* Stride 1: 8 loads and 24 multiplications for 4 outputs. w0 w1, w2 w3, w4 w5: a kernel row's (w0, w1) and
 * (w1, w2). */
#define NN_DW_TILE_STRIDE_1                                                         \
    NN_DW_WORD(a, 1, 0) NN_DW_WORD(b, 1, 4) NN_DW_WORD(v0, 0, 0) NN_DW_NEXT(v1, 4)  \
    NN_DW_FIRST(smuad, u0, v0, w0) NN_DW_FIRST(smultb, u1, v0, w0)                  \
    NN_DW_MAC(smlabt, u0, v1, w1) NN_DW_MAC(smlad, u1, v1, w1)                      \
    NN_DW_FIRST(smuad, v0, a, w0) NN_DW_FIRST(smultb, v1, a, w0)                    \
    NN_DW_MAC(smlad, u0, a, w2) NN_DW_MAC(smlatb, u1, a, w2)                        \
    NN_DW_MAC(smlabt, v0, b, w1) NN_DW_MAC(smlad, v1, b, w1)                        \
    NN_DW_MAC(smlabt, u0, b, w3) NN_DW_MAC(smlad, u1, b, w3)                        \
    NN_DW_WORD(a, 2, -4) NN_DW_WORD(b, 2, 0)                                        \
    NN_DW_MAC(smlad, u0, a, w4) NN_DW_MAC(smlatb, u1, a, w4)                        \
    NN_DW_MAC(smlad, v0, a, w2) NN_DW_MAC(smlatb, v1, a, w2)                        \
    NN_DW_MAC(smlabt, u0, b, w5) NN_DW_MAC(smlad, u1, b, w5)                        \
    NN_DW_MAC(smlabt, v0, b, w3) NN_DW_MAC(smlad, v1, b, w3)                        \
    NN_DW_WORD(a, 3, -4) NN_DW_WORD(b, 3, 0)                                        \
    NN_DW_MAC(smlad, v0, a, w4) NN_DW_MAC(smlatb, v1, a, w4)                        \
    NN_DW_MAC(smlabt, v0, b, w5) NN_DW_MAC(smlad, v1, b, w5)                        \
    NN_DW_FINISH

/* Stride 2: 15 loads and 24 multiplications for 4 outputs. w0, w2, w4: a kernel row's (w0, w1); w1: the last
 * weights of rows 0 and 1, w5: of row 2 in the high half. */
#define NN_DW_TILE_STRIDE_2                                                         \
    NN_DW_WORD(a, 0, 0) NN_DW_WORD(b, 0, 4) NN_DW_NEXT(c, 8)                        \
    NN_DW_FIRST(smuad, u0, a, w0) NN_DW_FIRST(smuad, u1, b, w0)                     \
    NN_DW_MAC(smlabb, u0, b, w1) NN_DW_MAC(smlabb, u1, c, w1)                       \
    NN_DW_WORD(a, 1, -8) NN_DW_WORD(b, 1, -4) NN_DW_WORD(c, 1, 0)                   \
    NN_DW_MAC(smlad, u0, a, w2) NN_DW_MAC(smlad, u1, b, w2)                         \
    NN_DW_MAC(smlabt, u0, b, w1) NN_DW_MAC(smlabt, u1, c, w1)                       \
    NN_DW_WORD(a, 2, -8) NN_DW_WORD(b, 2, -4) NN_DW_WORD(c, 2, 0)                   \
    NN_DW_MAC(smlad, u0, a, w4) NN_DW_MAC(smlad, u1, b, w4)                         \
    NN_DW_FIRST(smuad, v0, a, w0) NN_DW_FIRST(smuad, v1, b, w0)                     \
    NN_DW_MAC(smlabt, u0, b, w5) NN_DW_MAC(smlabt, u1, c, w5)                       \
    NN_DW_MAC(smlabb, v0, b, w1) NN_DW_MAC(smlabb, v1, c, w1)                       \
    NN_DW_WORD(a, 3, -8) NN_DW_WORD(b, 3, -4) NN_DW_WORD(c, 3, 0)                   \
    NN_DW_MAC(smlad, v0, a, w2) NN_DW_MAC(smlad, v1, b, w2)                         \
    NN_DW_MAC(smlabt, v0, b, w1) NN_DW_MAC(smlabt, v1, c, w1)                       \
    NN_DW_WORD(a, 4, -8) NN_DW_WORD(b, 4, -4) NN_DW_WORD(c, 4, 0)                   \
    NN_DW_MAC(smlad, v0, a, w4) NN_DW_MAC(smlad, v1, b, w4)                         \
    NN_DW_MAC(smlabt, v0, b, w5) NN_DW_MAC(smlabt, v1, c, w5)                       \
    NN_DW_FINISH
/* clang-format on */
#define NN_DW_TILE_STRIDE_1_START
#define NN_DW_TILE_STRIDE_2_START

#endif
