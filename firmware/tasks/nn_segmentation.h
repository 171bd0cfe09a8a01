/* nn_segmentation.h - segmentation: the class of every position of a map.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its NumPy twin is codegen/tasks/segmentation.py. model.c has the constant of a network, nn_task_<network>.
 */
#ifndef NN_SEGMENTATION_H
#define NN_SEGMENTATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t positions; /* of the map: height * width */
    uint16_t channels;  /* 1: class 1 where a value is at least threshold, else class 0. More: one a class, at
                           most 255 */
    int8_t threshold;   /* of one channel */
} nn_segmentation;

/* Write the class of each position of map (positions * channels values) to mask (positions bytes): with
 * several channels that of the largest value, the first of equals. mask may begin where map begins. */
void nn_segment(const nn_segmentation *task, const int8_t *map, uint8_t *mask);

#ifdef __cplusplus
}
#endif
#endif
