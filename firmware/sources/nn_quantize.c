/* What a sensor gives as int8; the NumPy twin is codegen/graph/sources/quantizer.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_quantize.h"

static int8_t to_int8(int32_t value)
{
    return (int8_t)(value > 127 ? 127 : value < -128 ? -128 : value);
}

void nn_quantize_int16(const nn_int16_source *source, const int16_t *raw, size_t count, int8_t *input)
{
    unsigned channel = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t steps = raw[i] * source->multiplier[channel] + source->bias[channel];
        input[i] = to_int8(steps >> source->shift[channel]);
        channel = channel + 1u < source->channels ? channel + 1u : 0u;
    }
}

static int8_t rounded(float steps)
{
    uint32_t bits;
    int32_t whole;
    __builtin_memcpy(&bits, &steps, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) { /* NaN; -ffast-math would drop steps != steps */
        return 0;
    }
    if (steps >= 65536.0f) {
        return 127;
    }
    if (steps <= -65536.0f) {
        return -128;
    }
    whole = (int32_t)steps; /* towards zero */
    if ((float)whole > steps) {
        whole--;
    }
    return to_int8((whole + 128) >> 8);
}

void nn_quantize_float(const nn_float_source *source, const float *raw, size_t count, int8_t *input)
{
    unsigned channel = 0;
    for (size_t i = 0; i < count; i++) {
        input[i] = rounded((raw[i] - source->offset[channel]) * source->multiplier[channel]);
        channel = channel + 1u < source->channels ? channel + 1u : 0u;
    }
}

void nn_quantize_pixels(const uint8_t *pixels, size_t count, int8_t *input)
{
    for (size_t i = 0; i < count; i++) {
        input[i] = (int8_t)(pixels[i] - 128);
    }
}
