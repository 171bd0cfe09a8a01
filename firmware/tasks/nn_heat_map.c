/* nn_heat_map.c - see nn_heat_map.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_heat_map.h"

/* Return the channel of a cell's largest value, the first of equals. */
static unsigned channel_of(const nn_heat_map *task, const int8_t *cell)
{
    unsigned best = 0;
    for (unsigned channel = 1; channel < task->channels; channel++) {
        if (cell[channel] > cell[best]) {
            best = channel;
        }
    }
    return best;
}

static const int8_t *cell_at(const nn_heat_map *task, const int8_t *map, unsigned row, unsigned column)
{
    return map + ((uint32_t)row * task->width + column) * task->channels;
}

/* Whether no neighbour of the same channel stands above the cell. */
static int is_highest(const nn_heat_map *task, const int8_t *map, unsigned row, unsigned column,
                      unsigned channel, int score)
{
    const unsigned last_row = row + 1u < task->height ? row + 1u : row;
    const unsigned last_column = column + 1u < task->width ? column + 1u : column;
    for (unsigned y = row > 0u ? row - 1u : 0u; y <= last_row; y++) {
        for (unsigned x = column > 0u ? column - 1u : 0u; x <= last_column; x++) {
            const int8_t *const cell = cell_at(task, map, y, x);
            const int other = cell[channel] - cell[0];
            const int is_earlier = y < row || (y == row && x < column);
            if (other >= score + !is_earlier && (y != row || x != column) &&
                channel_of(task, cell) == channel) {
                return 0;
            }
        }
    }
    return 1;
}

unsigned nn_peaks(const nn_heat_map *task, const int8_t *map, nn_peak *peaks, unsigned room)
{
    unsigned count = 0;
    for (unsigned row = 0; row < task->height; row++) {
        for (unsigned column = 0; column < task->width; column++) {
            const int8_t *const cell = cell_at(task, map, row, column);
            const unsigned channel = channel_of(task, cell);
            const int score = cell[channel] - cell[0];
            if (channel == 0u || score < task->threshold ||
                !is_highest(task, map, row, column, channel, score)) {
                continue;
            }
            if (count < room) {
                peaks[count].row = (uint16_t)row;
                peaks[count].column = (uint16_t)column;
                peaks[count].score = (int16_t)score;
                peaks[count].label = (uint8_t)(channel - 1u);
            }
            count++;
        }
    }
    return count;
}
