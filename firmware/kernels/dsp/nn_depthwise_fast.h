/* nn_depthwise_fast.h (DSP) - the inner loops of depthwise layers, scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The rules behind the order: on Cortex-M4 n loads in a row take n + 1 cycles but 2n when something stands
 * between them, and an address computed by the instruction before costs one more; on Cortex-M7 two words next
 * to each other load in one cycle, and a store does not share one with a multiplication. At most 13
 * registers, so the loops also fit where a frame pointer is kept: what is needed once a tile (multiplier,
 * bias, output and loop end) waits in FPU registers, one cycle away, or on the stack of a core without FPU.
 */

#ifdef __ARM_FP
#define NN_HELD      "t"
#define NN_FETCH     "vmov    "
#define NN_PUT(r, h) "vmov    " h ", " r "\n\t"
typedef float nn_held;
#else
#define NN_HELD      "m"
#define NN_FETCH     "ldr.w   "
#define NN_PUT(r, h) "str.w   " r ", " h "\n\t"
typedef uint32_t nn_held;
#endif

NN_INLINE nn_held nn_hold(uint32_t bits)
{
    nn_held held;
    __builtin_memcpy(&held, &bits, sizeof held);
    return held;
}

/* clang-format off */
/* Expand columns 2i and 2i + 1 of four channels: 15 instructions for 8 elements. */
#define NN_EXPAND_LOAD(l, r, column)                             \
    "ldr.w   %[" #l "], [%[in], #(%c[pixel] * " #column ")]\n\t" \
    "ldr.w   %[" #r "], [%[in], #(%c[pixel] * (" #column " + 1))]\n\t"
#define NN_EXPAND_PUT(l, r)                                \
    "pkhbt   %[t], %[" #l "], %[" #r "], lsl #16\n\t"      \
    "pkhtb   %[" #r "], %[" #r "], %[" #l "], asr #16\n\t" \
    "sxtab16 %[" #l "], %[offset], %[t]\n\t"               \
    "sxtab16 %[t], %[offset], %[t], ror #8\n\t"            \
    "str.w   %[t], [%[x], #(%c[plane])]\n\t"               \
    "sxtab16 %[t], %[offset], %[" #r "]\n\t"               \
    "str.w   %[" #l "], [%[x]], #4\n\t"                    \
    "sxtab16 %[" #r "], %[offset], %[" #r "], ror #8\n\t"  \
    "str.w   %[t], [%[y]], #4\n\t"                         \
    "str.w   %[" #r "], [%[y], #(%c[plane] - 4)]\n\t"

/* clang-format on */

/* pairs (literal) pairs of columns of a row of four channels. in: the first pixel; x: its element in the
 * first of four planes. Returns 0 if it did nothing. */
NN_INLINE int nn_depthwise_expand_fast(int32_t pairs, int32_t in_c, uint32_t offset, int32_t plane,
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
        __asm__ volatile(".balign 4\n1:\n\t" NN_EXPAND_LOAD(a, b, 0) NN_EXPAND_LOAD(c, d, 2) //
                         "addw    %[in], %[in], #(%c[pixel] * 4)\n\t"                        //
                         NN_EXPAND_PUT(a, b) NN_EXPAND_PUT(c, d)                             //
                         "cmp     %[x], %[end]\n\t"
                         "bne.n   1b"
                         : [in] "+r"(in), [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
                           [d] "=&r"(d), [t] "=&r"(t)
                         : [offset] "r"(offset), [end] "r"(end), [pixel] "i"(in_c), [plane] "i"(2 * plane)
                         : "cc", "memory");
    } else {
        __asm__ volatile(".balign 4\n1:\n\t" NN_EXPAND_LOAD(a, b, 0)  //
                         "addw    %[in], %[in], #(%c[pixel] * 2)\n\t" //
                         NN_EXPAND_PUT(a, b)                          //
                         "cmp     %[x], %[end]\n\t"
                         "bne.n   1b"
                         : [in] "+r"(in), [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [t] "=&r"(t)
                         : [offset] "r"(offset), [end] "r"(end), [pixel] "i"(in_c), [plane] "i"(2 * plane)
                         : "cc", "memory");
    }
    return 1;
}

/* A word of kernel row row from the tile's base; the last of the first row moves x on by a tile. */
#define NN_WORD(t, row, byte)   "ldr.w   %[" #t "], [%[x], #(%c[pitch] * " #row " + (" #byte "))]\n\t"
#define NN_NEXT(t, byte)        "ldr.w   %[" #t "], [%[x], #" #byte "]!\n\t"
#define NN_FIRST(op, acc, x, w) #op " %[" #acc "], %[" #x "], %[" #w "]\n\t"
#define NN_MAC(op, acc, x, w)   #op " %[" #acc "], %[" #x "], %[" #w "], %[" #acc "]\n\t"

/* clang-format off */
/* Requantize and store the tile u0 u1 / v0 v1; a and b are free. */
#define NN_FINISH                                                             \
    NN_FETCH "%[a], %[multiplier]\n\t"                                        \
    NN_FETCH "%[b], %[bias]\n\t"                                              \
    "smmlar  %[u0], %[u0], %[a], %[b]\n\t"                                    \
    "smmlar  %[u1], %[u1], %[a], %[b]\n\t"                                    \
    "smmlar  %[v0], %[v0], %[a], %[b]\n\t"                                    \
    "smmlar  %[v1], %[v1], %[a], %[b]\n\t"                                    \
    NN_FETCH "%[a], %[out]\n\t"                                               \
    "ssat    %[u0], #8, %[u0], asr %[shift]\n\t"                              \
    "ssat    %[u1], #8, %[u1], asr %[shift]\n\t"                              \
    "addw    %[b], %[a], #(%c[pixel] * 2)\n\t"                                \
    "strb.w  %[u0], [%[a]]\n\t"                                               \
    "ssat    %[v0], #8, %[v0], asr %[shift]\n\t"                              \
    "strb.w  %[u1], [%[a], #(%c[pixel])]\n\t"                                 \
    "ssat    %[v1], #8, %[v1], asr %[shift]\n\t"                              \
    "strb.w  %[v0], [%[a], #(%c[line])]\n\t"                                  \
    NN_PUT("%[b]", "%[out]")                                                  \
    "strb.w  %[v1], [%[a], #(%c[line] + %c[pixel])]\n\t"

/* Stride 1: 8 loads and 24 multiplications for 4 outputs. w0 w1, w2 w3, w4 w5: a kernel row's (w0, w1) and
 * (w1, w2). */
#define NN_TILE_STRIDE_1                                                      \
    NN_WORD(a, 1, 0) NN_WORD(b, 1, 4) NN_WORD(v0, 0, 0) NN_NEXT(v1, 4)        \
    NN_FIRST(smuad, u0, v0, w0) NN_FIRST(smultb, u1, v0, w0)                  \
    NN_MAC(smlabt, u0, v1, w1) NN_MAC(smlad, u1, v1, w1)                      \
    NN_FIRST(smuad, v0, a, w0) NN_FIRST(smultb, v1, a, w0)                    \
    NN_MAC(smlad, u0, a, w2) NN_MAC(smlatb, u1, a, w2)                        \
    NN_MAC(smlabt, v0, b, w1) NN_MAC(smlad, v1, b, w1)                        \
    NN_MAC(smlabt, u0, b, w3) NN_MAC(smlad, u1, b, w3)                        \
    NN_WORD(a, 2, -4) NN_WORD(b, 2, 0)                                        \
    NN_MAC(smlad, u0, a, w4) NN_MAC(smlatb, u1, a, w4)                        \
    NN_MAC(smlad, v0, a, w2) NN_MAC(smlatb, v1, a, w2)                        \
    NN_MAC(smlabt, u0, b, w5) NN_MAC(smlad, u1, b, w5)                        \
    NN_MAC(smlabt, v0, b, w3) NN_MAC(smlad, v1, b, w3)                        \
    NN_WORD(a, 3, -4) NN_WORD(b, 3, 0)                                        \
    NN_MAC(smlad, v0, a, w4) NN_MAC(smlatb, v1, a, w4)                        \
    NN_MAC(smlabt, v0, b, w5) NN_MAC(smlad, v1, b, w5)                        \
    NN_FINISH

/* Stride 2: 15 loads and 24 multiplications for 4 outputs. w0, w2, w4: a kernel row's (w0, w1); w1: the last
 * weights of rows 0 and 1, w5: of row 2 in the high half. */
#define NN_TILE_STRIDE_2                                                      \
    NN_WORD(a, 0, 0) NN_WORD(b, 0, 4) NN_NEXT(c, 8)                           \
    NN_FIRST(smuad, u0, a, w0) NN_FIRST(smuad, u1, b, w0)                     \
    NN_MAC(smlabb, u0, b, w1) NN_MAC(smlabb, u1, c, w1)                       \
    NN_WORD(a, 1, -8) NN_WORD(b, 1, -4) NN_WORD(c, 1, 0)                      \
    NN_MAC(smlad, u0, a, w2) NN_MAC(smlad, u1, b, w2)                         \
    NN_MAC(smlabt, u0, b, w1) NN_MAC(smlabt, u1, c, w1)                       \
    NN_WORD(a, 2, -8) NN_WORD(b, 2, -4) NN_WORD(c, 2, 0)                      \
    NN_MAC(smlad, u0, a, w4) NN_MAC(smlad, u1, b, w4)                         \
    NN_FIRST(smuad, v0, a, w0) NN_FIRST(smuad, v1, b, w0)                     \
    NN_MAC(smlabt, u0, b, w5) NN_MAC(smlabt, u1, c, w5)                       \
    NN_MAC(smlabb, v0, b, w1) NN_MAC(smlabb, v1, c, w1)                       \
    NN_WORD(a, 3, -8) NN_WORD(b, 3, -4) NN_WORD(c, 3, 0)                      \
    NN_MAC(smlad, v0, a, w2) NN_MAC(smlad, v1, b, w2)                         \
    NN_MAC(smlabt, v0, b, w1) NN_MAC(smlabt, v1, c, w1)                       \
    NN_WORD(a, 4, -8) NN_WORD(b, 4, -4) NN_WORD(c, 4, 0)                      \
    NN_MAC(smlad, v0, a, w4) NN_MAC(smlad, v1, b, w4)                         \
    NN_MAC(smlabt, v0, b, w5) NN_MAC(smlabt, v1, c, w5)                       \
    NN_FINISH
/* clang-format on */

/* Tiles from x until x is end. */
#define NN_TILE_LOOP(tiles, temporaries, ...)                                                       \
    __asm__ volatile(".balign 4\n1:\n\t" tiles NN_FETCH "%[b], %[end]\n\t"                          \
                     "cmp     %[x], %[b]\n\t"                                                       \
                     "bne.w   1b"                                                                   \
                     : [x] "+r"(x), [u0] "=&r"(u0), [u1] "=&r"(u1), [v0] "=&r"(v0), [v1] "=&r"(v1), \
                       [a] "=&r"(a), [b] "=&r"(b), [out] "+" NN_HELD(at) temporaries                \
                     : [w0] "r"(taps[0]), [w2] "r"(taps[2]), [w4] "r"(taps[4]), [w5] "r"(taps[5]),  \
                       __VA_ARGS__, [multiplier] NN_HELD(multiplier), [bias] NN_HELD(bias),         \
                       [end] NN_HELD(end), [pitch] "i"(2 * pitch), [pixel] "i"(s->out_c),           \
                       [line] "i"(s->out_w * s->out_c), [shift] "i"(r->fraction_bits)               \
                     : "cc", "memory")
#define NN_NO_MORE
#define NN_ONE_MORE , [c] "=&r"(c)

NN_INLINE int nn_depthwise_rows_fast(const nn_window_shape *s, const nn_requant *r, int32_t pitch,
                                     nn_channel channel, const uint32_t *taps, const int16_t *x, int8_t *out)
{
    const int32_t tiles = s->out_w / 2;
    const nn_held multiplier = nn_hold((uint32_t)channel.multiplier);
    const nn_held bias = nn_hold((uint32_t)channel.bias);
    const nn_held end = nn_hold((uint32_t)(uintptr_t)(x + 2 * s->stride_w * tiles));
    nn_held at = nn_hold((uint32_t)(uintptr_t)out);
    uint32_t u0, u1, v0, v1, a, b, c;
    if (!__builtin_constant_p(pitch) || !__builtin_constant_p(s->out_c) ||
        !__builtin_constant_p(r->fraction_bits) || r->fraction_bits == 0 || r->act_min > -128 ||
        r->act_max < 127 || s->kernel_h != 3 || s->kernel_w != 3 || s->stride_h != s->stride_w ||
        tiles == 0 || (6 + 2 * s->stride_h) * pitch + 8 > 4095 || (s->out_w + 1) * s->out_c > 4095) {
        return 0;
    }
    if (s->stride_w == 1 && tiles % 2 == 0) {
        NN_TILE_LOOP(NN_TILE_STRIDE_1 NN_TILE_STRIDE_1, NN_NO_MORE, [w1] "r"(taps[1]), [w3] "r"(taps[3]));
    } else if (s->stride_w == 1) {
        NN_TILE_LOOP(NN_TILE_STRIDE_1, NN_NO_MORE, [w1] "r"(taps[1]), [w3] "r"(taps[3]));
    } else if (s->stride_w == 2) {
        NN_TILE_LOOP(NN_TILE_STRIDE_2, NN_ONE_MORE, [w1] "r"(nn_pack_high(taps[1], taps[3])));
    } else {
        return 0;
    }
    return 1;
}
