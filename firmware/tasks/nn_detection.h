/* nn_detection.h - detection: boxes from a network's maps of class scores and distances.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A detector has two outputs per scale, the finest scale first: class scores (h, w, anchors * classes),
 * logits of independent sigmoids, and boxes (h, w, anchors * 4), the distances from the middle of a cell to
 * the left, top, right and lower edge. An anchor is what a distance of 1 stands for, along width and height;
 * a detector without anchors has one per cell, the cell's size: image height / h pixels high. Integers only,
 * no allocation: scratch and boxes are the caller's. Its NumPy twin is codegen/tasks/_boxes.py. model.c has
 * the constant of a network, nn_task_<network>.
 */
#ifndef NN_DETECTION_H
#define NN_DETECTION_H

#include "../nestnet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most scales. */
#define NN_DETECTION_SCALES 6u

/* Anchors that are looked at after the threshold, and words of scratch: of more, the best are taken, of equal
 * scores the first in the order of outputs, rows, columns and anchors of a cell. */
#define NN_DETECTION_CANDIDATES 128u

/* Most boxes that nn_detect writes, whatever room there is. */
#define NN_DETECTION_BOXES 64u

/* What one scale's int8 values stand for. */
typedef struct {
    uint16_t height;
    uint16_t width;
    int32_t logit; /* of one step of a class score, in 1/256 with 12 more bits; 1..2^23 - 1 */
    int8_t class_zero;
    int8_t box_zero;
    uint8_t anchors; /* of a cell, at least 1 */
} nn_detection_scale;

/* What one step of an anchor's distances stands for, in 1/16 pixel with 12 more bits; 1..2^23 - 1. */
typedef struct {
    int32_t horizontal;
    int32_t vertical;
} nn_detection_anchor;

/* A detector: at most 65536 anchors of all cells on an image of at most 2047 pixels a side. */
typedef struct {
    nn_detection_scale scales[NN_DETECTION_SCALES];
    const nn_detection_anchor *anchors; /* of every scale in turn */
    uint8_t scale_count;
    uint8_t
        percent; /* intersection over union above which the lower-scored of two boxes of a class is dropped */
    uint16_t classes;
    int16_t right; /* of the image, in 1/16 pixel */
    int16_t bottom;
} nn_detection;

/* One box. Coordinates in sixteenths of a pixel of the network's input, within it. */
typedef struct {
    uint16_t index; /* of the class */
    int16_t score;  /* logit in 1/256: the probability is 1 / (1 + exp(-score / 256)); 0 is one half */
    int16_t left;
    int16_t top;
    int16_t right;
    int16_t bottom;
} nn_box;

/* Write the boxes in the outputs of the last nn_run to found, the best score first, at most room of them and
 * at most NN_DETECTION_BOXES; return how many. An anchor counts from min_score on (as nn_box has it) and has
 * one box, of its largest class score, the first of equals. Boxes without area are dropped. scratch has
 * NN_DETECTION_CANDIDATES words. net is of the model that task belongs to. */
unsigned nn_detect(const nn_detection *task, const nn_net *net, int16_t min_score, uint32_t *scratch,
                   nn_box *found, unsigned room);

#ifdef __cplusplus
}
#endif
#endif
