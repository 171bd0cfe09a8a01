/* nn_depthwise_conv_asm.h - what the hand-scheduled loops of depthwise layers share: the expansion, the
 * parts tiles are made of and the loop around them. nn_depthwise_conv_asm_dsp.h and _m7.h define the tiles
 * NN_DW_TILE_STRIDE_1 and NN_DW_TILE_STRIDE_2, what precedes the first one (.._START), and where the loop's
 * constants wait (NN_DW_HELD).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * twin:      nn_depthwise_conv_dsp.h, by intrinsics
 * registers: at most 13, so the loops also fit where a frame pointer is kept: what is needed once a tile
 *            (multiplier, bias, output and loop end) waits in FPU registers, or on the stack of a core
 *            without FPU
 * flags:     changed
 * check:     NN_DW_EXPAND_LOAD(a, b, 0) NN_DW_EXPAND_PUT(a, b) has 12 instructions
 */
#ifndef NN_DEPTHWISE_CONV_ASM_H
#define NN_DEPTHWISE_CONV_ASM_H

#include "nn_depthwise_conv.h"
#if NN_KERNELS_USE_M7
#include "nn_depthwise_conv_asm_m7.h"
#else
#include "nn_depthwise_conv_asm_dsp.h"
#endif

/* In an FPU register, or on the stack. */
#if NN_HAS_FPU
#define NN_DW_IN_FPU       "t"
#define NN_DW_FROM_FPU     "vmov    "
#define NN_DW_TO_FPU(r, h) "vmov    " h ", " r "\n\t"
typedef float nn_dw_in_fpu;
#else
#define NN_DW_IN_FPU       "m"
#define NN_DW_FROM_FPU     "ldr.w   "
#define NN_DW_TO_FPU(r, h) "str.w   " r ", " h "\n\t"
typedef uint32_t nn_dw_in_fpu;
#endif

NN_INLINE nn_dw_in_fpu nn_dw_move_to_fpu(uint32_t bits)
{
    nn_dw_in_fpu moved;
    __builtin_memcpy(&moved, &bits, sizeof moved);
    return moved;
}

/* clang-format off */
/* Expand columns 2i and 2i + 1 of four channels: 15 instructions for 8 elements. */
#define NN_DW_EXPAND_LOAD(l, r, column)                                             \
    "ldr.w   %[" #l "], [%[in], #(%c[pixel] * " #column ")]\n\t"                    \
    "ldr.w   %[" #r "], [%[in], #(%c[pixel] * (" #column " + 1))]\n\t"
#define NN_DW_EXPAND_PUT(l, r)                                                      \
    "pkhbt   %[t], %[" #l "], %[" #r "], lsl #16\n\t"                               \
    "pkhtb   %[" #r "], %[" #r "], %[" #l "], asr #16\n\t"                          \
    "sxtab16 %[" #l "], %[offset], %[t]\n\t"                                        \
    "sxtab16 %[t], %[offset], %[t], ror #8\n\t"                                     \
    "str.w   %[t], [%[x], #(%c[plane])]\n\t"                                        \
    "sxtab16 %[t], %[offset], %[" #r "]\n\t"                                        \
    "str.w   %[" #l "], [%[x]], #4\n\t"                                             \
    "sxtab16 %[" #r "], %[offset], %[" #r "], ror #8\n\t"                           \
    "str.w   %[t], [%[y]], #4\n\t"                                                  \
    "str.w   %[" #r "], [%[y], #(%c[plane] - 4)]\n\t"

/* clang-format on */

NN_INLINE int nn_depthwise_expand_asm(int32_t pairs, int32_t in_c, uint32_t offset, int32_t plane,
                                      const int8_t *in, int16_t *x)
{
    int16_t *y = x + 2 * plane;
    const int16_t *const end = x + 2 * pairs;
    uint32_t a, b, c, d, t;
    if (!__builtin_constant_p(pairs) || !__builtin_constant_p(in_c) || !__builtin_constant_p(plane) ||
        pairs == 0 || 4 * in_c > 4095 || 2 * plane > 4095) {
        return 0;
    }
    if (pairs % 2 == 0) {
        __asm__ volatile(".balign 4\n1:\n\t" NN_DW_EXPAND_LOAD(a, b, 0) NN_DW_EXPAND_LOAD(c, d, 2) //
                         "addw    %[in], %[in], #(%c[pixel] * 4)\n\t"                              //
                         NN_DW_EXPAND_PUT(a, b) NN_DW_EXPAND_PUT(c, d)                             //
                         "cmp     %[x], %[end]\n\t"
                         "bne.n   1b"
                         : [in] "+r"(in), [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
                           [d] "=&r"(d), [t] "=&r"(t)
                         : [offset] "r"(offset), [end] "r"(end), [pixel] "i"(in_c), [plane] "i"(2 * plane)
                         : "cc", "memory");
    } else {
        __asm__ volatile(".balign 4\n1:\n\t" NN_DW_EXPAND_LOAD(a, b, 0) //
                         "addw    %[in], %[in], #(%c[pixel] * 2)\n\t"   //
                         NN_DW_EXPAND_PUT(a, b)                         //
                         "cmp     %[x], %[end]\n\t"
                         "bne.n   1b"
                         : [in] "+r"(in), [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [t] "=&r"(t)
                         : [offset] "r"(offset), [end] "r"(end), [pixel] "i"(in_c), [plane] "i"(2 * plane)
                         : "cc", "memory");
    }
    return 1;
}

/* A word of kernel row row from the tile's base; NN_DW_NEXT moves x on by byte first. */
#define NN_DW_WORD(t, row, byte)   "ldr.w   %[" #t "], [%[x], #(%c[pitch] * " #row " + (" #byte "))]\n\t"
#define NN_DW_NEXT(t, byte)        "ldr.w   %[" #t "], [%[x], #" #byte "]!\n\t"
#define NN_DW_FIRST(op, acc, x, w) #op " %[" #acc "], %[" #x "], %[" #w "]\n\t"
#define NN_DW_MAC(op, acc, x, w)   #op " %[" #acc "], %[" #x "], %[" #w "], %[" #acc "]\n\t"

/* Tiles from x until x is end. */
#define NN_DW_TILE_LOOP(start, tiles, temporaries, ...)                                             \
    __asm__ volatile(start ".balign 4\n1:\n\t" tiles NN_DW_FETCH "%[u1], %[end]\n\t"                \
                           "cmp     %[x], %[u1]\n\t"                                                \
                           "bne.w   1b"                                                             \
                     : [x] "+r"(x), [u0] "=&r"(u0), [u1] "=&r"(u1), [v0] "=&r"(v0), [v1] "=&r"(v1), \
                       [a] "=&r"(a), [b] "=&r"(b), [out] "+" NN_DW_IN_FPU(at) temporaries           \
                     : [w0] "r"(taps[0]), [w2] "r"(taps[2]), [w4] "r"(taps[4]), [w5] "r"(taps[5]),  \
                       __VA_ARGS__, [multiplier] NN_DW_HELD(multiplier), [bias] NN_DW_HELD(bias),   \
                       [end] NN_DW_HELD(end), [pitch] "i"(2 * pitch), [pixel] "i"(s->out_c),        \
                       [line] "i"(s->out_w * s->out_c), [shift] "i"(r->fraction_bits)               \
                     : "cc", "memory")
#define NN_DW_NO_MORE
#define NN_DW_ONE_MORE , [c] "=&r"(c)

NN_INLINE int nn_depthwise_rows_asm(const nn_window_shape *s, const nn_requant *r, int32_t pitch,
                                    nn_channel channel, const uint32_t *taps, const int16_t *x, int8_t *out)
{
    const int32_t tiles = s->out_w / 2;
    const nn_dw_held multiplier = NN_DW_HOLD((uint32_t)channel.multiplier);
    const nn_dw_held bias = NN_DW_HOLD((uint32_t)channel.bias);
    const nn_dw_held end = NN_DW_HOLD((uint32_t)(uintptr_t)(x + 2 * s->stride_w * tiles));
    nn_dw_in_fpu at = nn_dw_move_to_fpu((uint32_t)(uintptr_t)out);
    uint32_t u0, u1, v0, v1, a, b, c;
    if (!__builtin_constant_p(pitch) || !__builtin_constant_p(s->out_c) ||
        !__builtin_constant_p(r->fraction_bits) || r->fraction_bits == 0 || r->act_min > -128 ||
        r->act_max < 127 || s->kernel_h != 3 || s->kernel_w != 3 || s->stride_h != s->stride_w ||
        tiles == 0 || (6 + 2 * s->stride_h) * pitch + 8 > 4095 || (s->out_w + 1) * s->out_c > 4095) {
        return 0;
    }
    if (s->stride_w == 1 && tiles % 2 == 0) {
        NN_DW_TILE_LOOP(NN_DW_TILE_STRIDE_1_START, NN_DW_TILE_STRIDE_1 NN_DW_TILE_STRIDE_1,
                        NN_DW_NO_MORE, [w1] "r"(taps[1]), [w3] "r"(taps[3]));
    } else if (s->stride_w == 1) {
        NN_DW_TILE_LOOP(NN_DW_TILE_STRIDE_1_START, NN_DW_TILE_STRIDE_1,
                        NN_DW_NO_MORE, [w1] "r"(taps[1]), [w3] "r"(taps[3]));
    } else if (s->stride_w == 2) {
        NN_DW_TILE_LOOP(NN_DW_TILE_STRIDE_2_START, NN_DW_TILE_STRIDE_2,
                        NN_DW_ONE_MORE, [w1] "r"(nn_pack_high(taps[1], taps[3])));
    } else {
        return 0;
    }
    return 1;
}

#endif
