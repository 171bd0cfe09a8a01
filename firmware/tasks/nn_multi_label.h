/* nn_multi_label.h - several yes or no answers to one input.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its NumPy twin is codegen/tasks/multi_label.py. model.c has the constant of a network, nn_task_<network>.
 */
#ifndef NN_MULTI_LABEL_H
#define NN_MULTI_LABEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Constant, generated; for other thresholds a program changes a copy. */
typedef struct {
    const int8_t *thresholds; /* one a label, in int8 values of the output */
    uint16_t labels;
} nn_multi_label;

/* Write 1 to present[i] where scores[i] is at least its threshold, else 0, for each label. present may be
 * scores. */
void nn_present(const nn_multi_label *task, const int8_t *scores, uint8_t *present);

#ifdef __cplusplus
}
#endif
#endif
