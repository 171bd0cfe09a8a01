/* nn_segmentation.h - segmentation: the class of every position of a map, or of an image in tiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its NumPy twins are codegen/tasks/segmentation.py and codegen/graph/sources/tiles.py. model.c has the
 * constant of a network, nn_task_<network>.
 */
#ifndef NN_SEGMENTATION_H
#define NN_SEGMENTATION_H

#include "../nestnet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Constant, generated; for another threshold a program changes a copy. */
typedef struct {
    uint16_t height; /* of the map; a tile is as large */
    uint16_t width;
    uint16_t channels; /* 1: class 1 where a value is at least threshold, else class 0. More: one a class, at
                          most 255 */
    uint16_t margin; /* positions at borders inside an image that are left to the next tile; both sides of the
                        map are more than twice as long */
    int8_t threshold; /* of one channel */
} nn_segmentation;

/* Where a tile lies along one axis, in pixels of the image. */
typedef struct {
    uint16_t start;
    uint16_t first; /* of the pixels that are its own */
    uint16_t end;   /* one behind the last of them */
} nn_tile_span;

/* A piece of an image, as large as the network's input. A tile ends beyond an image that is smaller. */
typedef struct {
    nn_tile_span rows;
    nn_tile_span columns;
} nn_tile;

/* Write the class of each position of map (height * width * channels values) to mask (height * width bytes):
 * with several channels that of the largest value, the first of equals. mask may begin where map begins. */
void nn_segment(const nn_segmentation *task, const int8_t *map, uint8_t *mask);

/* An image in tiles: neighbours overlap, and every pixel of the image is one tile's own. nn_tiles is their
 * number, nn_tile_at one of them, row by row. height and width are the image's, each at least 1. */
uint32_t nn_tiles(const nn_segmentation *task, uint16_t height, uint16_t width);
nn_tile nn_tile_at(const nn_segmentation *task, uint16_t height, uint16_t width, uint32_t index);

/* Write the classes of the pixels that are a tile's own to the mask of an image of width columns, map being
 * what the network makes of the tile. */
void nn_segment_tile(const nn_segmentation *task, const nn_tile *tile, const int8_t *map, uint16_t width,
                     uint8_t *mask);

/* Write the class of each pixel of image (height * width * channels of the network's input) to mask
 * (height * width bytes), running the network once for every tile, at the level chosen by then. image holds
 * what the network takes, of pixels minus 128; beyond it is 0. The network's input is as large as its map,
 * and its arena has NN_<MODEL>_ARENA_AND_EDGES_BYTES. An image that fits no memory comes in tiles:
 * nn_tile_at, nn_run and nn_segment_tile do the same for one. Errors: NN_ERR_NULL, also where the arena has
 * no room for input and output; NN_ERR_EDGES if the input is of another size than the map; those of nn_run.
 */
nn_status nn_segment_image(const nn_segmentation *task, nn_net *net, const int8_t *image, uint16_t height,
                           uint16_t width, uint8_t *mask);

#ifdef __cplusplus
}
#endif
#endif
