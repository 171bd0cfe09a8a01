/* Log-mel energies and MFCC; the NumPy twin is codegen/graph/sources/spectrogram.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../core/nn_optimize.h"
#include "nn_spectrogram.h"

#include <stddef.h>

#define SAMPLE_BITS 28 /* the transform takes samples below 2**28 */
#define POWER_SHIFT 30

/* log2(1 + k / 32) in units of 2**-15 */
static const uint16_t log_table[33] = {
    0,     1455,  2866,  4236,  5568,  6863,  8124,  9352,  10549, 11716, 12855,
    13968, 15055, 16117, 17156, 18173, 19168, 20143, 21098, 22034, 22952, 23852,
    24736, 25604, 26455, 27292, 28114, 28922, 29717, 30498, 31267, 32024, 32768,
};

/* The number of the highest bit, from 0; bits must not be 0. */
static int highest_bit(uint32_t bits)
{
    return 31 - __builtin_clz(bits);
}

static int32_t log2_of(uint64_t energy)
{
    const uint32_t high = (uint32_t)(energy >> 32);
    const int bits = high != 0u ? 32 + highest_bit(high) : highest_bit((uint32_t)energy);
    const uint32_t top = (uint32_t)(bits > 31 ? energy >> (bits - 31) : energy << (31 - bits));
    const uint32_t segment = (top >> 26) & 31u;
    const uint32_t step = (uint32_t)log_table[segment + 1u] - log_table[segment];
    const uint32_t line = log_table[segment] + ((step * ((top >> 10) & 0xFFFFu)) >> 16);
    return bits * 256 + (int32_t)((line + 64u) >> 7);
}

#if NN_LONG_PRODUCTS

/* The product of a pair with a factor, rounded to nearest. */
static void turn(const int32_t *pair, const int16_t *factor, int32_t *re, int32_t *im)
{
    const int64_t rounding = 1 << 14;
    *re = (int32_t)(((int64_t)pair[0] * factor[0] - (int64_t)pair[1] * factor[1] + rounding) >> 15);
    *im = (int32_t)(((int64_t)pair[0] * factor[1] + (int64_t)pair[1] * factor[0] + rounding) >> 15);
}

/* The power of a pair of which the squares' sum is at most about 2^60. */
static int32_t power_of(int32_t re, int32_t im)
{
    const uint64_t power = (uint64_t)((int64_t)re * re) + (uint64_t)((int64_t)im * im);
    return (int32_t)(uint32_t)(power >> POWER_SHIFT);
}

static uint64_t product(uint32_t power, uint16_t weight)
{
    return (uint64_t)power * weight;
}

#else

/* A number is half_above * 2^15 + half_below. */
static int32_t half_above(int32_t number)
{
    return number >> 15;
}

static int32_t half_below(int32_t number)
{
    return number & 0x7FFF;
}

/* As above; a factor's squares sum up to about 2^30, so that no sum here leaves 32 bits. */
static void turn(const int32_t *pair, const int16_t *factor, int32_t *re, int32_t *im)
{
    const int32_t rounding = 1 << 14;
    const int32_t high[2] = {half_above(pair[0]), half_above(pair[1])};
    const int32_t low[2] = {half_below(pair[0]), half_below(pair[1])};
    *re = high[0] * factor[0] - high[1] * factor[1] +
          ((rounding + low[0] * factor[0] - low[1] * factor[1]) >> 15);
    *im = high[0] * factor[1] + high[1] * factor[0] +
          ((rounding + low[0] * factor[1] + low[1] * factor[0]) >> 15);
}

static int32_t power_of(int32_t re, int32_t im)
{
    const int32_t high[2] = {half_above(re), half_above(im)};
    const int32_t low[2] = {half_below(re), half_below(im)};
    const int32_t rest = (low[0] * low[0] + low[1] * low[1]) >> 16; /* of a sum below 2^31 */
    return high[0] * high[0] + high[1] * high[1] +
           ((high[0] * low[0] + high[1] * low[1] + rest) >> (POWER_SHIFT - 16));
}

static uint64_t product(uint32_t power, uint16_t weight)
{
    return ((uint64_t)((power >> 16) * weight) << 16) + (power & 0xFFFFu) * weight;
}

#endif

static void swap_bit_reversed(int32_t *pairs, unsigned count)
{
    for (unsigned i = 1, j = 0; i < count; i++) {
        unsigned bit = count >> 1;
        while ((j & bit) != 0u) {
            j ^= bit;
            bit >>= 1;
        }
        j |= bit;
        if (i < j) {
            for (unsigned part = 0; part < 2u; part++) {
                const int32_t kept = pairs[2u * i + part];
                pairs[2u * i + part] = pairs[2u * j + part];
                pairs[2u * j + part] = kept;
            }
        }
    }
}

/* Transform count complex numbers in place, halving count's logarithm times. */
static void transform(int32_t *pairs, unsigned count, const int16_t *factors)
{
    swap_bit_reversed(pairs, count);
    for (unsigned width = 1; width < count; width *= 2u) {
        const unsigned stride = 2u * (count / width); /* int16 from one factor to the next */
        for (unsigned first = 0; first < count; first += 2u * width) {
            int32_t *a = pairs + 2u * (size_t)first;
            int32_t *b = a + 2u * (size_t)width;
            const int16_t *factor = factors;
            for (unsigned k = 0; k < width; k++, a += 2, b += 2, factor += stride) {
                int32_t re;
                int32_t im;
                turn(b, factor, &re, &im);
                b[0] = (a[0] - re) >> 1;
                b[1] = (a[1] - im) >> 1;
                a[0] = (a[0] + re) >> 1;
                a[1] = (a[1] + im) >> 1;
            }
        }
    }
}

/* Make powers of the transform: pairs[2 * k] becomes that of frequency k of 1 .. count - 1. */
static void powers(int32_t *pairs, unsigned count, const int16_t *factors)
{
    for (unsigned k = 1; 2u * k <= count; k++) {
        int32_t *low = pairs + 2u * (size_t)k;
        int32_t *high = pairs + 2u * (size_t)(count - k);
        const int32_t even_re = low[0] + high[0];
        const int32_t even_im = low[1] - high[1];
        const int32_t odd[2] = {low[1] + high[1], high[0] - low[0]};
        int32_t re;
        int32_t im;
        turn(odd, factors + 2u * (size_t)k, &re, &im);
        high[0] = power_of(even_re - re, even_im - im);
        low[0] = power_of(even_re + re, even_im + im);
    }
}

void nn_spectrogram_frame(const nn_spectrogram *what, const int16_t *samples, int32_t *scratch,
                          int16_t *log_mel)
{
    uint32_t top = 0;
    int lift = 0;
    uint64_t rising_before = 0;
    for (unsigned i = 0; i < what->frame; i++) {
        const int32_t weighed = samples[i] * what->window[i];
        const uint32_t size = (uint32_t)(weighed < 0 ? -weighed : weighed);
        top = size > top ? size : top;
        scratch[i] = weighed;
    }
    if (top != 0u) {
        lift = SAMPLE_BITS - 1 - highest_bit(top);
    }
    for (unsigned i = 0; i < what->frame; i++) {
        scratch[i] = lift >= 0 ? scratch[i] * (int32_t)(1u << lift) : scratch[i] >> -lift;
    }
    for (unsigned i = what->frame; i < what->fft; i++) {
        scratch[i] = 0;
    }
    transform(scratch, what->fft / 2u, what->factors);
    powers(scratch, what->fft / 2u, what->factors);
    for (unsigned band = 0; band <= what->mels; band++) {
        uint64_t rising = 0;
        uint64_t sum = 0;
        for (unsigned k = what->mel_edges[band]; k < what->mel_edges[band + 1u]; k++) {
            const uint32_t power = k != 0u ? (uint32_t)scratch[2u * (size_t)k] : 0u;
            rising += product(power, what->mel_weights[k - what->mel_edges[0]]);
            sum += power;
        }
        if (band != 0u) {
            const uint64_t energy = rising_before + (sum << 15) - rising;
            log_mel[band - 1u] =
                (int16_t)(energy != 0u ? log2_of(energy) - 512 * lift : NN_SPECTROGRAM_SILENCE);
        }
        rising_before = rising;
    }
}

static int16_t to_int16(int32_t value)
{
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

void nn_spectrogram_window(const nn_spectrogram *what, const int16_t *log_mel, unsigned oldest,
                           int16_t *features)
{
    const unsigned mels = what->mels;
    const size_t count = (size_t)what->frames * mels;
    int32_t loudest = what->quietest_log;
    for (size_t i = 0; i < count; i++) {
        loudest = log_mel[i] > loudest ? log_mel[i] : loudest;
    }
    for (unsigned frame = 0; frame < what->frames; frame++) {
        const unsigned row = frame + oldest < what->frames ? frame + oldest : frame + oldest - what->frames;
        const int16_t *cosine = what->cosines;
        int16_t levels[NN_SPECTROGRAM_MAX_MELS];
        for (unsigned m = 0; m < mels; m++) {
            const int32_t depth = log_mel[(size_t)row * mels + m] - loudest;
            levels[m] =
                (int16_t)((depth < -what->range_log ? -what->range_log : depth) + what->range_log / 2);
        }
        for (unsigned m = 0; m < mels && what->coefficients == 0u; m++) {
            *features++ = levels[m];
        }
        for (unsigned k = 0; k < what->coefficients; k++) {
            int32_t sum = 1 << 13;
            for (unsigned m = 0; m < mels; m++) {
                sum += levels[m] * *cosine++;
            }
            *features++ = to_int16(sum >> 14);
        }
    }
}
