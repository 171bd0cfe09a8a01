/* nn_heat_map.h - objects as peaks of a coarse map of classes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its NumPy twin is codegen/tasks/heat_map.py. model.c has the constant of a network, nn_task_<network>.
 */
#ifndef NN_HEAT_MAP_H
#define NN_HEAT_MAP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Constant, generated; for another threshold a program changes a copy. */
typedef struct {
    uint16_t height;
    uint16_t width;
    uint16_t channels; /* channel 0 is the background, every other one a class; 2..256 */
    int16_t threshold; /* least score of a peak, in steps of the output, 1..255 */
} nn_heat_map;

typedef struct {
    uint16_t row; /* of the map */
    uint16_t column;
    int16_t score; /* of the class, less that of the background, in steps of the output */
    uint8_t label; /* 0 is the class of channel 1 */
} nn_peak;

/* Find the peaks of a map, row by row, write the first room of them to peaks and return how many there are. A
 * cell is a peak where the largest of its channels (the first of equals) is not the background, its score is
 * at least the threshold, and no neighbour of the same class, of the eight around it, has a larger score, or
 * the same and comes earlier. */
unsigned nn_peaks(const nn_heat_map *task, const int8_t *map, nn_peak *peaks, unsigned room);

#ifdef __cplusplus
}
#endif
#endif
