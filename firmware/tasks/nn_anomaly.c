/* nn_anomaly.c - see nn_anomaly.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_anomaly.h"

uint32_t nn_difference(const nn_anomaly *task, const int8_t *input, const int8_t *output)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < task->count; i++) {
        const int32_t made = ((output[i] - task->output_zero_point) * task->gain + 2048) >> 12;
        const int32_t away = made - (input[i] - task->input_zero_point) * 16;
        sum += (uint32_t)(away * away); /* away is below 2^16, its square below 2^31: see gain */
    }
    /* Bit by bit: a division of 64 bits would call a function that a freestanding build lacks. */
    uint64_t rest = sum + task->count / 2u;
    uint32_t mean = 0u;
    for (unsigned bit = 32u; bit-- > 0u;) {
        const uint64_t part = (uint64_t)task->count << bit;
        if (rest >= part) {
            rest -= part;
            mean |= UINT32_C(1) << bit;
        }
    }
    return mean;
}

int nn_is_odd(const nn_anomaly *task, unsigned level, uint32_t difference)
{
    return difference >= task->thresholds[level];
}
