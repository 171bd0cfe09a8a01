/* nn_segmentation.c - see nn_segmentation.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_segmentation.h"

#include <stddef.h>

void nn_segment(const nn_segmentation *task, const int8_t *map, uint8_t *mask)
{
    for (uint32_t position = 0; position < task->positions; position++) {
        const int8_t *const values = map + (size_t)position * task->channels;
        unsigned best = 0;
        if (task->channels == 1u) {
            best = values[0] >= task->threshold;
        }
        for (unsigned channel = 1; channel < task->channels; channel++) {
            if (values[channel] > values[best]) {
                best = channel;
            }
        }
        mask[position] = (uint8_t)best; /* behind it lie values not yet read, never before it */
    }
}
