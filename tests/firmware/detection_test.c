/* detection_test.c - boxes of the cases in cases.bin, to outputs.bin: on the host or an emulated core.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_port.h"
#include "tasks/nn_detection.h"

#define MOST_ANCHORS 36u

typedef struct {
    nn_detection_scale scales[NN_DETECTION_SCALES];
    nn_detection_anchor anchors[MOST_ANCHORS];
    uint8_t scale_count;
    uint8_t percent;
    uint16_t classes;
    int16_t right;
    int16_t bottom;
    int16_t min_score;
    uint16_t room;
} nn_case;

static int8_t arena[1u << 18];

/* Read one case and write its number of boxes and the boxes; return 0 at the end of the file. */
static int one_case(int input, int output)
{
    nn_case about;
    nn_box found[NN_DETECTION_BOXES];
    uint32_t scratch[NN_DETECTION_CANDIDATES];
    nn_tensor_info tensors[2u * NN_DETECTION_SCALES] = {0};
    uint32_t used = 0;
    if (!nn_port_read(input, &about, sizeof about)) {
        return 0;
    }
    nn_detection task = {
        .anchors = about.anchors,
        .scale_count = about.scale_count,
        .percent = about.percent,
        .classes = about.classes,
        .right = about.right,
        .bottom = about.bottom,
    };
    for (unsigned i = 0; i < task.scale_count; i++) {
        task.scales[i] = about.scales[i];
        const nn_detection_scale *scale = &task.scales[i];
        const uint32_t anchors = (uint32_t)scale->height * scale->width * scale->anchors;
        tensors[2u * i].offset_bytes = used;
        used += anchors * task.classes;
        tensors[2u * i + 1u].offset_bytes = used;
        used += anchors * 4u;
    }
    if (used > sizeof arena || !nn_port_read(input, arena, used)) {
        nn_port_exit(3);
    }
    const nn_model model = {.outputs = tensors, .output_count = (uint8_t)(2u * task.scale_count)};
    const nn_net net = {.model = &model, .arena = arena, .edges = arena};
    nn_mark_begin();
    const uint32_t count = nn_detect(&task, &net, about.min_score, scratch, found, about.room);
    nn_mark_end();
    return nn_port_write(output, &count, sizeof count) && nn_port_write(output, found, count * sizeof *found);
}

int main(void)
{
    const int input = nn_port_open_read("cases.bin");
    const int output = nn_port_open_write("outputs.bin");
    if (input < 0 || output < 0) {
        return 4;
    }
    while (one_case(input, output)) {
    }
    return nn_port_close(output) ? 0 : 5;
}
