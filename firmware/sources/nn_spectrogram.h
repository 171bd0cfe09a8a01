/* nn_spectrogram.h - log-mel energies and MFCC of sound, in integers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The same bits as codegen/graph/sources/spectrogram.py, with which a network was trained. No floating point,
 * no allocation, no state: every 20 ms or so nn_spectrogram_frame turns the newest samples into one row of a
 * ring of rows, and before nn_run nn_spectrogram_window turns the ring into features, which nn_quantize_int16
 * makes the network's input of.
 */
#ifndef NN_SPECTROGRAM_H
#define NN_SPECTROGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NN_SPECTROGRAM_MAX_MELS 128

/* The logarithm of a band without any power; what rows hold that were not heard yet. */
#define NN_SPECTROGRAM_SILENCE (-16384)

/* What is computed. Constant, generated with a network that hears: model.h says its name and sizes. */
typedef struct {
    uint16_t frame;              /* samples of a frame */
    uint16_t fft;                /* samples of a transform, a power of two from frame on, 4..2048 */
    uint16_t frames;             /* rows of a window */
    uint16_t mels;               /* bands of a row, 2..NN_SPECTROGRAM_MAX_MELS */
    uint16_t coefficients;       /* of a row of features; 0: the bands themselves */
    int16_t range_log;           /* of a band under the loudest, in units of 2**-8 octaves of power */
    int16_t quietest_log;        /* the loudest band is taken to have at least this */
    const int16_t *window;       /* frame factors, units of 2**-15 */
    const int16_t *factors;      /* fft / 2 pairs exp(-2j pi k / fft), units of 2**-15 */
    const uint16_t *mel_edges;   /* mels + 2 frequencies, ascending, the last at most fft / 2 */
    const uint16_t *mel_weights; /* of the frequencies from the first to the last edge, units of 2**-15 */
    const int16_t *cosines;      /* coefficients x mels, units of 2**-14 */
} nn_spectrogram;

/* Write the logarithms of the bands of one frame.
 *   samples: frame of them, 16 bits, oldest first; only read
 *   scratch: fft values, aligned to 4 bytes
 *   log_mel: mels values, in units of 2**-8 octaves of power */
void nn_spectrogram_frame(const nn_spectrogram *what, const int16_t *samples, int32_t *scratch,
                          int16_t *log_mel);

/* Write the features of a window of frames.
 *   log_mel: frames x mels values, a ring of rows, filled with NN_SPECTROGRAM_SILENCE before the first one;
 *            only read
 *   oldest: the row to begin with, below frames
 *   features: frames rows of coefficients, or of mels, in units of 2**-8; may not overlap log_mel */
void nn_spectrogram_window(const nn_spectrogram *what, const int16_t *log_mel, unsigned oldest,
                           int16_t *features);

#ifdef __cplusplus
}
#endif
#endif
