/* arm_nn_double.c - plain C test double of a few CMSIS-NN functions.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Source: TensorFlow Lite 8-bit quantization specification (per-axis convolution and depthwise
 * convolution) and gemmlowp's definition of the two rounding steps. Each function also writes all of
 * the context buffer it may ask for, so that a buffer shared by mistake changes results. What the library
 * asks for, and where its 3x3 depthwise function is wrong, are as in CMSIS-NN at 99f736a on a core with DSP.
 */
#include "arm_nnfunctions.h"

#include <stddef.h>
#include <string.h>

/* Stands for what lies behind a row, which the library's 3x3 depthwise function reads for the middle column.
 */
#define POISON 91

/* Saturating, rounding, doubling high half of a product. */
static int32_t doubling_high_multiply(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    const int64_t product = (int64_t)a * b;
    const int64_t nudge = product >= 0 ? (1 << 30) : (1 - (1 << 30));
    return (int32_t)((product + nudge) / ((int64_t)1 << 31)); /* towards zero */
}

/* Division by 2^exponent, halves away from zero. */
static int32_t rounding_divide(int32_t value, int32_t exponent)
{
    const int32_t mask = (int32_t)(((int64_t)1 << exponent) - 1);
    const int32_t remainder = value & mask;
    const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
    return (value >> exponent) + (remainder > threshold ? 1 : 0);
}

static int32_t requantize(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    return rounding_divide(doubling_high_multiply(value * (1 << left), multiplier), right);
}

static int8_t clamp(int32_t value, const cmsis_nn_activation *activation)
{
    const int32_t low = value < activation->min ? activation->min : value;
    return (int8_t)(low > activation->max ? activation->max : low);
}

static int spoil(const cmsis_nn_context *ctx, int32_t needed_bytes)
{
    if (needed_bytes > 0 && (ctx->buf == NULL || ctx->size < needed_bytes)) {
        return 0;
    }
    if (ctx->buf != NULL) {
        memset(ctx->buf, 0x5A, (size_t)ctx->size);
    }
    return 1;
}

static int32_t round_up4(int32_t value)
{
    return (value + 3) / 4 * 4;
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *params,
                                                const cmsis_nn_dims *input_dims,
                                                const cmsis_nn_dims *filter_dims,
                                                const cmsis_nn_dims *output_dims)
{
    (void)output_dims;
    if (params->padding.w == 0 && params->padding.h == 0 && filter_dims->w == 1 && filter_dims->h == 1) {
        return 0;
    }
    return 4 * round_up4(filter_dims->h * filter_dims->w * input_dims->c);
}

/* Whether the library takes its own function for 3x3 windows, if there is one filter per channel. */
static int is_small_3x3(const cmsis_nn_dw_conv_params *params, const cmsis_nn_dims *filter_dims)
{
    return params->ch_mult == 1 && filter_dims->w == 3 && filter_dims->h == 3 && params->padding.h <= 1 &&
           params->padding.w <= 1;
}

int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *params,
                                                      const cmsis_nn_dims *input_dims,
                                                      const cmsis_nn_dims *filter_dims,
                                                      const cmsis_nn_dims *output_dims)
{
    if (input_dims->c != output_dims->c || is_small_3x3(params, filter_dims)) {
        return 0;
    }
    return 2 * filter_dims->h * filter_dims->w * input_dims->c;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *params,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *input_dims, const int8_t *input,
                                            const cmsis_nn_dims *filter_dims, const int8_t *filter,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *output_dims, int8_t *output)
{
    const int32_t needed =
        arm_convolve_wrapper_s8_get_buffer_size(params, input_dims, filter_dims, output_dims);
    if (filter_dims->c != input_dims->c || filter_dims->n != output_dims->c ||
        bias_dims->c != output_dims->c || params->dilation.h != 1 || params->dilation.w != 1 ||
        !spoil(ctx, needed)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t oy = 0; oy < output_dims->h; oy++) {
        for (int32_t ox = 0; ox < output_dims->w; ox++) {
            for (int32_t oc = 0; oc < output_dims->c; oc++) {
                int32_t sum = bias[oc];
                for (int32_t ky = 0; ky < filter_dims->h; ky++) {
                    for (int32_t kx = 0; kx < filter_dims->w; kx++) {
                        const int32_t y = oy * params->stride.h - params->padding.h + ky;
                        const int32_t x = ox * params->stride.w - params->padding.w + kx;
                        if (y < 0 || y >= input_dims->h || x < 0 || x >= input_dims->w) {
                            continue;
                        }
                        const int8_t *const in = &input[(y * input_dims->w + x) * input_dims->c];
                        const int8_t *const w =
                            &filter[((oc * filter_dims->h + ky) * filter_dims->w + kx) * filter_dims->c];
                        for (int32_t ic = 0; ic < input_dims->c; ic++) {
                            sum += (in[ic] + params->input_offset) * w[ic];
                        }
                    }
                }
                const int32_t scaled = requantize(sum, quant->multiplier[oc], quant->shift[oc]);
                *output++ = clamp(scaled + params->output_offset, &params->activation);
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(const cmsis_nn_context *ctx,
                                                  const cmsis_nn_dw_conv_params *params,
                                                  const cmsis_nn_per_channel_quant_params *quant,
                                                  const cmsis_nn_dims *input_dims, const int8_t *input,
                                                  const cmsis_nn_dims *filter_dims, const int8_t *filter,
                                                  const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                  const cmsis_nn_dims *output_dims, int8_t *output)
{
    const int32_t needed =
        arm_depthwise_conv_wrapper_s8_get_buffer_size(params, input_dims, filter_dims, output_dims);
    if (filter_dims->n != 1 || filter_dims->c != output_dims->c || bias_dims->c != output_dims->c ||
        output_dims->c != input_dims->c * params->ch_mult || params->dilation.h != 1 ||
        params->dilation.w != 1 || !spoil(ctx, needed)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t oy = 0; oy < output_dims->h; oy++) {
        for (int32_t ox = 0; ox < output_dims->w; ox++) {
            for (int32_t oc = 0; oc < output_dims->c; oc++) {
                int32_t sum = bias[oc];
                for (int32_t ky = 0; ky < filter_dims->h; ky++) {
                    for (int32_t kx = 0; kx < filter_dims->w; kx++) {
                        const int32_t y = oy * params->stride.h - params->padding.h + ky;
                        const int32_t x = ox * params->stride.w - params->padding.w + kx;
                        const int past_row =
                            kx == 1 && x >= input_dims->w && is_small_3x3(params, filter_dims);
                        if (y < 0 || y >= input_dims->h || x < 0 || (x >= input_dims->w && !past_row)) {
                            continue;
                        }
                        const int32_t ic = oc / params->ch_mult;
                        const int32_t in =
                            past_row ? POISON : input[(y * input_dims->w + x) * input_dims->c + ic];
                        const int32_t w = filter[(ky * filter_dims->w + kx) * filter_dims->c + oc];
                        sum += (in + params->input_offset) * w;
                    }
                }
                const int32_t scaled = requantize(sum, quant->multiplier[oc], quant->shift[oc]);
                *output++ = clamp(scaled + params->output_offset, &params->activation);
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_max_pool_s8(const cmsis_nn_context *ctx, const cmsis_nn_pool_params *params,
                                    const cmsis_nn_dims *input_dims, const int8_t *input,
                                    const cmsis_nn_dims *filter_dims, const cmsis_nn_dims *output_dims,
                                    int8_t *output)
{
    if (input_dims->c != output_dims->c || !spoil(ctx, 0)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int32_t oy = 0; oy < output_dims->h; oy++) {
        for (int32_t ox = 0; ox < output_dims->w; ox++) {
            for (int32_t c = 0; c < output_dims->c; c++) {
                int32_t best = INT8_MIN;
                for (int32_t ky = 0; ky < filter_dims->h; ky++) {
                    for (int32_t kx = 0; kx < filter_dims->w; kx++) {
                        const int32_t y = oy * params->stride.h - params->padding.h + ky;
                        const int32_t x = ox * params->stride.w - params->padding.w + kx;
                        if (y >= 0 && y < input_dims->h && x >= 0 && x < input_dims->w) {
                            const int32_t value = input[(y * input_dims->w + x) * input_dims->c + c];
                            best = value > best ? value : best;
                        }
                    }
                }
                *output++ = clamp(best, &params->activation);
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
