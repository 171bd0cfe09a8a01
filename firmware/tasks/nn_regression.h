/* nn_regression.h - numbers in the units of the training data.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its NumPy twin is codegen/tasks/regression.py. model.c has the constant of a network, nn_task_<network>.
 */
#ifndef NN_REGRESSION_H
#define NN_REGRESSION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const int32_t *steps;   /* one a number: of one step of the output */
    const int32_t *offsets; /* one a number: where the output is its zero point */
    uint16_t count;
    int8_t zero_point;
    int8_t fraction_bits; /* of steps, offsets and answers: a unit is 2^fraction_bits */
} nn_regression;

/* Write numbers[i] = offsets[i] + (output[i] - zero_point) * steps[i], which no value of the output lets
 * overflow. */
void nn_numbers(const nn_regression *task, const int8_t *output, int32_t *numbers);

#ifdef __cplusplus
}
#endif
#endif
