/* nn_expand_body.h (portable) - contract in nn_expand.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

NN_INLINE void nn_expand(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out)
{
    for (int32_t i = 0; i < count; i++) {
        out[i] = (int16_t)(in[i] - zero_point);
    }
}

NN_INLINE void nn_fill_zero(int16_t *out, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        out[i] = 0;
    }
}
