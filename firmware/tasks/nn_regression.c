/* nn_regression.c - see nn_regression.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_regression.h"

void nn_numbers(const nn_regression *task, const int8_t *output, int32_t *numbers)
{
    for (unsigned i = 0; i < task->count; i++) {
        numbers[i] = task->offsets[i] + (output[i] - task->zero_point) * task->steps[i];
    }
}
