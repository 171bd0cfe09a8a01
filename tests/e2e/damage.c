/* damage.c - a network whose stored weights get damaged: the C side of test_coded.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Built with -DMODEL=<nn_model_...>; the weight image is writable here. The arena has exactly the model's
 * bytes, so that a sanitizer sees what a kernel reads beyond. Prints one line of counts; returns 0 if all is
 * as it must be.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                 \
    do {                                                   \
        if (!(condition)) {                                \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1);                                       \
        }                                                  \
    } while (0)

static size_t bytes_of(const nn_tensor_info *tensor)
{
    return (size_t)tensor->height * tensor->width * tensor->channels;
}

/* Change every step-th byte of the given parts of the image in turn: nn_run refuses it or stays in bounds,
 * and is right again once the byte is. Parts are offset and size in turn. */
static int damage_parts(size_t step, int count, char **parts)
{
    const size_t input_bytes = bytes_of(MODEL.inputs), output_bytes = bytes_of(MODEL.outputs);
    uint8_t *const image = (uint8_t *)(uintptr_t)MODEL.weights;
    void *const arena = aligned_alloc(NN_ARENA_ALIGN_BYTES, MODEL.arena_bytes);
    int8_t *const input = malloc(input_bytes), *const right = malloc(output_bytes);
    int8_t *const output = malloc(output_bytes);
    unsigned refused = 0, accepted = 0;
    nn_net net;
    for (size_t i = 0; i < input_bytes; i++) {
        input[i] = (int8_t)(i * 37u % 251u);
    }
    REQUIRE(nn_init(&net, &MODEL, arena, MODEL.arena_bytes) == NN_OK);
    REQUIRE(nn_run(&net, input, right) == NN_OK);
    for (int part = 0; part + 1 < count; part += 2) {
        const size_t begin = strtoul(parts[part], NULL, 10), size = strtoul(parts[part + 1], NULL, 10);
        for (size_t at = begin; at < begin + size; at += step) {
            const uint8_t byte = image[at];
            REQUIRE(nn_init(&net, &MODEL, arena, MODEL.arena_bytes) == NN_OK);
            image[at] ^= (uint8_t)(1u << at % 8u | 0x10u << at % 3u);
            const nn_status status = nn_run(&net, input, output);
            REQUIRE(status == NN_OK || status == NN_ERR_WEIGHTS);
            if (status == NN_ERR_WEIGHTS) {
                REQUIRE(nn_run(&net, input, output) == NN_ERR_WEIGHTS);
                refused++;
            } else {
                accepted++;
            }
            image[at] = byte;
            if (status == NN_OK) { /* another byte is no error; what was decoded may stay */
                REQUIRE(nn_init(&net, &MODEL, arena, MODEL.arena_bytes) == NN_OK);
            }
            REQUIRE(nn_run(&net, input, output) == NN_OK);
            REQUIRE(memcmp(output, right, output_bytes) == 0);
        }
    }
    printf("%u refused, %u accepted\n", refused, accepted);
    free(arena);
    free(input);
    free(right);
    free(output);
    return 0;
}

/* Every truncation and every single-byte change of the whole image is refused by nn_init. */
static int damage_image(void)
{
    void *const arena = aligned_alloc(NN_ARENA_ALIGN_BYTES, MODEL.arena_bytes);
    uint8_t *const image = malloc(MODEL.weights_bytes);
    nn_model model = MODEL;
    nn_net net;
    unsigned tried = 0;
    memcpy(image, MODEL.weights, MODEL.weights_bytes);
    model.weights = image;
    REQUIRE(nn_init(&net, &model, arena, model.arena_bytes) == NN_OK);
    for (uint32_t bytes = 0; bytes < MODEL.weights_bytes; bytes++, tried++) {
        uint8_t *const truncated = malloc(bytes + (bytes == 0u));
        memcpy(truncated, image, bytes);
        model.weights = truncated;
        model.weights_bytes = bytes;
        REQUIRE(nn_init(&net, &model, arena, model.arena_bytes) == NN_ERR_WEIGHTS);
        free(truncated);
    }
    model.weights = image;
    model.weights_bytes = MODEL.weights_bytes;
    for (uint32_t at = 0; at < MODEL.weights_bytes; at++) {
        const uint8_t byte = image[at];
        for (unsigned change = 1; change < 256u; change++, tried++) {
            image[at] = (uint8_t)(byte ^ change);
            REQUIRE(nn_init(&net, &model, arena, model.arena_bytes) == NN_ERR_WEIGHTS);
        }
        image[at] = byte;
    }
    REQUIRE(nn_init(&net, &model, arena, model.arena_bytes) == NN_OK);
    printf("%u refused\n", tried);
    free(arena);
    free(image);
    return 0;
}

int main(int argc, char **argv)
{
    return argc > 2 ? damage_parts(strtoul(argv[1], NULL, 10), argc - 2, argv + 2) : damage_image();
}
