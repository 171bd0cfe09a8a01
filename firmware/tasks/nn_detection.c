/* Detection: decode and suppress boxes. Its NumPy twin is codegen/tasks/_boxes.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_detection.h"

#define NN_FRACTION 12 /* further bits of the constants of a scale */
#define NN_HALF     (1 << (NN_FRACTION - 1))
#define NN_LAST     0xFFFFu

/* Put value where heap[at] was, whose both subtrees of count keys are heaps, the smallest first. */
static void nn_sift(uint32_t *heap, unsigned count, unsigned at, uint32_t value)
{
    for (unsigned child = 2u * at + 1u; child < count; child = 2u * at + 1u) {
        if (child + 1u < count && heap[child + 1u] < heap[child]) {
            child++;
        }
        if (value <= heap[child]) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

/* Keep key among the count best, in a heap once there are NN_DETECTION_CANDIDATES; return the new count. */
static unsigned nn_keep(uint32_t *heap, unsigned count, uint32_t key)
{
    if (count < NN_DETECTION_CANDIDATES) {
        heap[count++] = key;
        if (count == NN_DETECTION_CANDIDATES) {
            for (unsigned at = count / 2u; at-- > 0u;) {
                nn_sift(heap, count, at, heap[at]);
            }
        }
    } else if (key > heap[0]) {
        nn_sift(heap, count, 0, key);
    }
    return count;
}

/* Sort count keys, the largest first. */
static void nn_sort(uint32_t *keys, unsigned count)
{
    for (unsigned at = count / 2u; at-- > 0u;) {
        nn_sift(keys, count, at, keys[at]);
    }
    while (count > 1u) {
        const uint32_t last = keys[--count];
        keys[count] = keys[0];
        nn_sift(keys, count, 0, last);
    }
}

/* The score that a class score of value stands for. */
static int32_t nn_score(const nn_detection_scale *scale, int value)
{
    const int32_t score = ((value - scale->class_zero) * scale->logit + NN_HALF) >> NN_FRACTION;
    return score > INT16_MAX ? INT16_MAX : score < INT16_MIN ? INT16_MIN : score;
}

/* Smallest value of a class score that counts; 128 if none does. */
static int nn_threshold(const nn_detection_scale *scale, int16_t min_score)
{
    int value = INT8_MIN;
    while (value <= INT8_MAX && nn_score(scale, value) < min_score) {
        value++;
    }
    return value;
}

/* Score and number of an anchor as one number: larger for a larger score, among equals for an earlier one. */
static uint32_t nn_key(int32_t score, uint32_t number)
{
    return ((uint32_t)(score - INT16_MIN) << 16) | (NN_LAST - number);
}

/* Anchors of all cells of a scale. */
static uint32_t nn_anchors(const nn_detection_scale *scale)
{
    return (uint32_t)scale->height * scale->width * scale->anchors;
}

/* Collect the keys of all anchors that count, the best NN_DETECTION_CANDIDATES of them; return how many. */
static unsigned nn_candidates(const nn_detection *task, const nn_net *net, int16_t min_score, uint32_t *best)
{
    unsigned count = 0;
    uint32_t number = 0;
    for (unsigned i = 0; i < task->scale_count; i++) {
        const nn_detection_scale *scale = &task->scales[i];
        const int threshold = nn_threshold(scale, min_score);
        const int8_t *scores = nn_output(net, 2u * i);
        for (uint32_t left = nn_anchors(scale); left > 0u; left--, number++) {
            int largest = scores[0];
            for (unsigned index = 1; index < task->classes; index++) {
                largest = scores[index] > largest ? scores[index] : largest;
            }
            scores += task->classes;
            if (largest >= threshold) {
                count = nn_keep(best, count, nn_key(nn_score(scale, largest), number));
            }
        }
    }
    return count;
}

/* A distance in 1/16 pixel, 0 where the network says less. */
static int32_t nn_distance(int8_t value, int8_t zero, int32_t constant)
{
    const int32_t found = ((value - zero) * constant + NN_HALF) >> NN_FRACTION;
    return found > 0 ? found : 0;
}

static int16_t nn_within(int32_t value, int16_t last)
{
    return (int16_t)(value < 0 ? 0 : value > last ? last : value);
}

/* The middle of a cell, of so many that together reach from 0 to last. */
static int32_t nn_middle(uint32_t cell, uint32_t cells, int16_t last)
{
    return (int32_t)((2u * cell + 1u) * (uint32_t)last / (2u * cells));
}

/* Decode the box that key stands for. */
static void nn_decode(const nn_detection *task, const nn_net *net, uint32_t key, nn_box *box)
{
    const nn_detection_scale *scale = task->scales;
    const nn_detection_anchor *anchor = task->anchors;
    uint32_t number = NN_LAST - (key & NN_LAST);
    unsigned output = 0;
    for (; number >= nn_anchors(scale); scale++, output += 2u) {
        number -= nn_anchors(scale);
        anchor += scale->anchors;
    }
    anchor += number % scale->anchors;
    const int8_t *side = nn_output(net, output + 1u) + (size_t)4u * number;
    const int32_t x = nn_middle(number / scale->anchors % scale->width, scale->width, task->right);
    const int32_t y = nn_middle(number / scale->anchors / scale->width, scale->height, task->bottom);
    box->index = (uint16_t)nn_argmax(nn_output(net, output) + (size_t)task->classes * number, task->classes);
    box->score = (int16_t)((int32_t)(key >> 16) + INT16_MIN);
    box->left = nn_within(x - nn_distance(side[0], scale->box_zero, anchor->horizontal), task->right);
    box->top = nn_within(y - nn_distance(side[1], scale->box_zero, anchor->vertical), task->bottom);
    box->right = nn_within(x + nn_distance(side[2], scale->box_zero, anchor->horizontal), task->right);
    box->bottom = nn_within(y + nn_distance(side[3], scale->box_zero, anchor->vertical), task->bottom);
}

static uint32_t nn_area(int32_t width, int32_t height)
{
    return width > 0 && height > 0 ? (uint32_t)width * (uint32_t)height : 0u;
}

/* Whether two boxes share more than percent of what they cover together. */
static int nn_overlap(const nn_box *a, const nn_box *b, unsigned percent)
{
    const int32_t left = a->left > b->left ? a->left : b->left;
    const int32_t top = a->top > b->top ? a->top : b->top;
    const int32_t right = a->right < b->right ? a->right : b->right;
    const int32_t bottom = a->bottom < b->bottom ? a->bottom : b->bottom;
    const uint32_t both = nn_area(right - left, bottom - top);
    const uint32_t all = nn_area(a->right - a->left, a->bottom - a->top) +
                         nn_area(b->right - b->left, b->bottom - b->top) - both;
    return both != 0u && (uint64_t)both * 100u > (uint64_t)all * percent;
}

unsigned nn_detect(const nn_detection *task, const nn_net *net, int16_t min_score, uint32_t *scratch,
                   nn_box *found, unsigned room)
{
    const unsigned candidates = nn_candidates(task, net, min_score, scratch);
    unsigned count = 0;
    nn_sort(scratch, candidates);
    room = room < NN_DETECTION_BOXES ? room : NN_DETECTION_BOXES;
    for (unsigned i = 0; i < candidates && count < room; i++) {
        nn_box *box = &found[count];
        nn_decode(task, net, scratch[i], box);
        int dropped = nn_area(box->right - box->left, box->bottom - box->top) == 0u;
        for (unsigned k = 0; k < count && !dropped; k++) {
            dropped = found[k].index == box->index && nn_overlap(&found[k], box, task->percent);
        }
        count += !dropped;
    }
    return count;
}
