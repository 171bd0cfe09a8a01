/* sources_harness.c - run what comes before a network's input on data from a file: the C side of sources.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * sources.inc defines SOUND, INT16 or FLOAT, COUNT and the generated tables, with names ending in _test.
 * raw.bin holds COUNT numbers. The answers go to answers.bin: of sound the logarithms of every frame and the
 * features of a window, a row after the other from the third on; then the int8 input.
 */
#include "sources/nn_quantize.h"
#include "sources/nn_spectrogram.h"
#include "nn_port.h"

#include "sources.inc"

#if defined(FLOAT)
static float raw[COUNT];
static int8_t input[COUNT];
#else
static int16_t raw[COUNT];
static int8_t input[INPUTS];
#endif
#if defined(SOUND)
static int32_t scratch[FFT];
static int16_t log_mel[FRAMES * MELS];
static int16_t features[INPUTS];
#endif

static void must(int done)
{
    if (!done) {
        nn_port_exit(1);
    }
}

int main(void)
{
    const int from = nn_port_open_read("raw.bin");
    const int to = nn_port_open_write("answers.bin");
    must(from >= 0 && to >= 0 && nn_port_read(from, raw, sizeof raw));
#if defined(SOUND)
    for (unsigned i = 0; i < FRAMES; i++) { /* a ring that began to be written in its third row */
        const unsigned row = (i + OLDEST) % FRAMES;
        nn_mark_begin();
        nn_spectrogram_frame(&nn_sound_test, raw + i * HOP, scratch, log_mel + row * MELS);
        nn_mark_end();
    }
    nn_mark_begin();
    nn_spectrogram_window(&nn_sound_test, log_mel, OLDEST, features);
    nn_mark_end();
    must(nn_port_write(to, log_mel, sizeof log_mel) && nn_port_write(to, features, sizeof features));
    nn_quantize_int16(&nn_source_test, features, INPUTS, input);
#elif defined(FLOAT)
    nn_quantize_float(&nn_source_test, raw, COUNT, input);
#else
    nn_quantize_int16(&nn_source_test, raw, COUNT, input);
#endif
    must(nn_port_write(to, input, sizeof input));
    must(nn_port_close(to));
    nn_port_exit(0);
}
