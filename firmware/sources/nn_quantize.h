/* nn_quantize.h - make a network's int8 input of what a sensor gives.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The same bits as codegen/graph/sources/quantizer.py, with which a network was trained. Values lie in the
 * order of the input: h, w, c, the channels of one position side by side.
 */
#ifndef NN_QUANTIZE_H
#define NN_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 16-bit numbers: q = sat8((raw * multiplier[c] + bias[c]) >> shift[c]). Constant, generated. */
typedef struct {
    uint16_t channels;
    const int16_t *multiplier; /* 1..2**14 */
    const int32_t *bias;       /* within 2**30 */
    const uint8_t *shift;      /* 0..24 */
} nn_int16_source;

/* Floats: q = sat8((floor((raw - offset[c]) * multiplier[c]) + 128) >> 8), 0 for NaN. Constant,
 * generated. No sum follows a product, so that a compiler which fuses them changes nothing; -ffast-math may.
 */
typedef struct {
    uint16_t channels;
    const float *offset;
    const float *multiplier;
} nn_float_source;

/* Write count values, a multiple of channels. */
void nn_quantize_int16(const nn_int16_source *source, const int16_t *raw, size_t count, int8_t *input);
void nn_quantize_float(const nn_float_source *source, const float *raw, size_t count, int8_t *input);

/* Pixels of 0..255: q = pixel - 128. input may be where pixels are. */
void nn_quantize_pixels(const uint8_t *pixels, size_t count, int8_t *input);

#ifdef __cplusplus
}
#endif
#endif
