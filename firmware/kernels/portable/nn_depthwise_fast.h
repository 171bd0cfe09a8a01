/* nn_depthwise_fast.h (portable) - no loops scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

NN_INLINE int nn_depthwise_expand_fast(int32_t pairs, int32_t in_c, uint32_t offset, int32_t plane,
                                       const int8_t *in, int16_t *x)
{
    (void)pairs;
    (void)in_c;
    (void)offset;
    (void)plane;
    (void)in;
    (void)x;
    return 0;
}

NN_INLINE int nn_depthwise_rows_fast(const nn_window_shape *s, const nn_requant *r, int32_t pitch,
                                     nn_channel channel, const uint32_t *taps, const int16_t *x, int8_t *out)
{
    (void)s;
    (void)r;
    (void)pitch;
    (void)channel;
    (void)taps;
    (void)x;
    (void)out;
    return 0;
}
