/* tasks_harness.c - answer to outputs from a file: the C side of tasks.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * tasks.inc includes the task's header, defines SAMPLES, IN_BYTES, OUT_BYTES, the type ANSWER of an answer's
 * items, ITEMS of them a sample, the constant `task`, and ANSWER_TO(input, output, answer). edges.bin holds
 * the samples' inputs and outputs, answers.bin gets the answers.
 */
#include "nn_port.h"

#include "tasks.inc"

static int8_t input[IN_BYTES];
static int8_t output[OUT_BYTES];
static ANSWER answer[ITEMS];

static void must(int done)
{
    if (!done) {
        nn_port_exit(1);
    }
}

int main(void)
{
    const int from = nn_port_open_read("edges.bin");
    const int to = nn_port_open_write("answers.bin");
    must(from >= 0 && to >= 0);
    for (unsigned sample = 0; sample < SAMPLES; sample++) {
        must(nn_port_read(from, input, sizeof input) && nn_port_read(from, output, sizeof output));
        for (unsigned i = 0; i < sizeof answer; i++) {
            ((volatile uint8_t *)answer)[i] = 0;
        }
        ANSWER_TO(input, output, answer);
        must(nn_port_write(to, answer, sizeof answer));
    }
    must(nn_port_close(to));
    nn_port_exit(0);
}
