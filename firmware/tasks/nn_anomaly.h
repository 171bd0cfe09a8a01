/* nn_anomaly.h - how far an input is from what a network makes of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its NumPy twin is codegen/tasks/anomaly.py. model.c has the constant of a network, nn_task_<network>.
 */
#ifndef NN_ANOMALY_H
#define NN_ANOMALY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Constant, generated; for a threshold of its own a program compares differences itself. */
typedef struct {
    const uint32_t *thresholds; /* one a level: least difference of what is odd */
    uint32_t count;             /* numbers of input and of output */
    int32_t gain;               /* 2^16 steps of the input by one of the output, at most 2^19 */
    int8_t input_zero_point;
    int8_t output_zero_point;
} nn_anomaly;

/* Return the mean squared difference of output and input, in squares of a sixteenth of the input's step.
 * input must still hold what nn_run was given: of a network of one input and one output it does. */
uint32_t nn_difference(const nn_anomaly *task, const int8_t *input, const int8_t *output);

/* Whether a difference at level is that of something odd; level is that of the run, below the network's
 * count. */
int nn_is_odd(const nn_anomaly *task, unsigned level, uint32_t difference);

#ifdef __cplusplus
}
#endif
#endif
