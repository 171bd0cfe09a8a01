/* nn_segmentation.c - see nn_segmentation.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_segmentation.h"

/* The class of the position that values are of. */
static uint8_t nn_class(const nn_segmentation *task, const int8_t *values)
{
    unsigned best = 0;
    if (task->channels == 1u) {
        best = values[0] >= task->threshold;
    }
    for (unsigned channel = 1; channel < task->channels; channel++) {
        if (values[channel] > values[best]) {
            best = channel;
        }
    }
    return (uint8_t)best;
}

void nn_segment(const nn_segmentation *task, const int8_t *map, uint8_t *mask)
{
    const uint32_t positions = (uint32_t)task->height * task->width;
    for (uint32_t position = 0; position < positions; position++) {
        const uint8_t found = nn_class(task, map + (size_t)position * task->channels);
        mask[position] = found; /* behind it lie values not yet read, never before it */
    }
}

/* Tiles along an axis of length pixels. */
static uint32_t nn_tiles_along(unsigned length, unsigned side, unsigned margin)
{
    const unsigned step = side - 2u * margin;
    return length <= side ? 1u : 1u + (uint16_t)((length - side + step - 1u) / step);
}

/* One of them; the last one ends where the image does. */
static nn_tile_span nn_span_at(unsigned length, unsigned side, unsigned margin, uint32_t index)
{
    const unsigned step = side - 2u * margin;
    const unsigned start = index * step;
    const unsigned most = length > side ? length - side : 0u;
    nn_tile_span span;
    span.start = (uint16_t)(start < most ? start : most);
    span.first = (uint16_t)(index > 0u ? start + margin : 0u);
    span.end = (uint16_t)(index + 1u < nn_tiles_along(length, side, margin) ? start + step + margin : length);
    return span;
}

uint32_t nn_tiles(const nn_segmentation *task, uint16_t height, uint16_t width)
{
    const uint32_t rows = nn_tiles_along(height, task->height, task->margin);
    return rows * nn_tiles_along(width, task->width, task->margin);
}

nn_tile nn_tile_at(const nn_segmentation *task, uint16_t height, uint16_t width, uint32_t index)
{
    const uint32_t columns = nn_tiles_along(width, task->width, task->margin);
    nn_tile tile;
    tile.rows = nn_span_at(height, task->height, task->margin, index / columns);
    tile.columns = nn_span_at(width, task->width, task->margin, index % columns);
    return tile;
}

void nn_segment_tile(const nn_segmentation *task, const nn_tile *tile, const int8_t *map, uint16_t width,
                     uint8_t *mask)
{
    for (unsigned row = tile->rows.first; row < tile->rows.end; row++) {
        const size_t seen = (size_t)(row - tile->rows.start) * task->width;
        for (unsigned column = tile->columns.first; column < tile->columns.end; column++) {
            const size_t position = seen + (column - tile->columns.start);
            mask[(size_t)row * width + column] = nn_class(task, map + position * task->channels);
        }
    }
}

/* Write what tile shows of an image of height * width pixels to input, 0 beyond the image. */
static void nn_cut(const nn_tensor_info *edge, const nn_tile *tile, const int8_t *image, uint16_t height,
                   uint16_t width, int8_t *input)
{
    const size_t wide = (size_t)edge->width * edge->channels;
    const unsigned right = (unsigned)(width - tile->columns.start);
    const size_t there = (right < edge->width ? right : edge->width) * (size_t)edge->channels;
    for (unsigned y = 0; y < edge->height; y++, input += wide) {
        const size_t row = (size_t)tile->rows.start + y;
        const size_t first = (row * width + tile->columns.start) * edge->channels;
        for (size_t x = 0; x < wide; x++) {
            input[x] = (int8_t)(row < height && x < there ? image[first + x] : 0);
        }
    }
}

nn_status nn_segment_image(const nn_segmentation *task, nn_net *net, const int8_t *image, uint16_t height,
                           uint16_t width, uint8_t *mask)
{
    int8_t *const input = nn_input(net, 0);
    const int8_t *const map = nn_output(net, 0);
    if (task == NULL || input == NULL || map == NULL || image == NULL || mask == NULL) {
        return NN_ERR_NULL;
    }
    const nn_tensor_info *const edge = net->model->inputs;
    if (edge->height != task->height || edge->width != task->width) {
        return NN_ERR_EDGES;
    }
    const uint32_t count = nn_tiles(task, height, width);
    for (uint32_t index = 0; index < count; index++) {
        const nn_tile tile = nn_tile_at(task, height, width, index);
        nn_cut(edge, &tile, image, height, width, input);
        const nn_status status = nn_run(net, NULL, NULL);
        if (status != NN_OK) {
            return status;
        }
        nn_segment_tile(task, &tile, map, width, mask);
    }
    return NN_OK;
}
