/* harness.c - run kernels on data from a file: the C side of test_kernels.py and bench.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * cases.inc (written by cases.py, numbers only) lists the cases; each becomes a function whose shape is
 * literal, as in a generated project. cases.bin holds the runs: a header, then one exactly sized buffer after
 * the other, so that a sanitizer sees every access outside of them. The outputs go to outputs.bin.
 */
#include "core/nn_optimize.h"

#include "harness_memory.h"
#include "nn_port.h"

#include "kernels/add/nn_add.h"
#include "kernels/avg_pool/nn_avg_pool.h"
#include "kernels/bilinear/nn_bilinear.h"
#include "kernels/concat/nn_concat.h"
#include "kernels/dense_conv/nn_dense_conv.h"
#include "kernels/dense_linear/nn_dense_linear.h"
#include "kernels/depthwise_conv/nn_depthwise_conv.h"
#include "kernels/grouped_conv/nn_grouped_conv.h"
#include "kernels/lookup/nn_lookup.h"
#include "kernels/matmul/nn_matmul.h"
#include "kernels/max_pool/nn_max_pool.h"
#include "kernels/mul/nn_mul.h"
#include "kernels/nested_conv/nn_nested_conv.h"
#include "kernels/nested_linear/nn_nested_linear.h"
#include "kernels/normalize/nn_normalize.h"
#include "kernels/pad/nn_pad.h"
#include "kernels/rearrange/nn_rearrange.h"
#include "kernels/softmax/nn_softmax.h"

/* First words of a run; buffers follow in the order of the sizes, 0 bytes meaning NULL. */
typedef struct {
    int32_t case_index;
    int32_t level;
    int32_t residual_multiplier;
    int32_t stream_count;
    int32_t misalign_bytes; /* of the activations */
    int32_t over;           /* what out lies over: 0 nothing, 1 in, 2 second */
    int32_t distance_bytes; /* from out up to that */
    int32_t out_bytes;
    int32_t scratch_bytes;
    int32_t multiplier_bytes;
    int32_t bias_bytes;
    int32_t bias_delta_bytes;
    int32_t weights_bytes;
    int32_t in_bytes;
    int32_t second_bytes; /* residual, or second input of an addition */
    int32_t table_bytes;
    int32_t channel_level_bytes;
    int32_t stream_bytes[2 * NN_MAX_LEVELS]; /* positions, weights of each level */
} run_header;

typedef struct {
    nn_requant_level requant;
    nn_stream streams[NN_MAX_LEVELS];
    uint32_t level;
    const int8_t *weights;
    const int8_t *in;
    const int8_t *second;
    const uint16_t *table;
    int8_t *out;
    int16_t *scratch;
    const uint8_t *channel_level;
} run_data;

#define SHAPE(...)   static const nn_window_shape s = {__VA_ARGS__};
#define REQUANT(...) static const nn_requant r = {__VA_ARGS__};
#define NO_RESIDUAL  NULL
#define RESIDUAL     d->second
#define ALL_CHANNELS NULL
#define ALL_PADDING  NULL
#define SIDES(...)   (&(const nn_sides){__VA_ARGS__})
#define BY_LEVEL     d->channel_level

/* The declarations come last because they contain commas. */
#define CASE(id, call, ...)                  \
    static void case_##id(const run_data *d) \
    {                                        \
        __VA_ARGS__ nn_mark_begin();         \
        call;                                \
        nn_mark_end();                       \
    }

#define NESTED_CONV(id, group, tile, residual, shape, constants)                                         \
    CASE(id,                                                                                             \
         nn_nested_conv(&s, &r, &d->requant, group, tile, d->streams, d->level, d->in, residual, d->out, \
                        d->scratch),                                                                     \
         shape constants)
#define DENSE_CONV(id, tile, residual, shape, constants)                                                \
    CASE(id, nn_dense_conv(&s, &r, &d->requant, tile, d->weights, d->in, residual, d->out, d->scratch), \
         shape constants)
#define DEPTHWISE_CONV(id, band, channel_level, shape, constants)                                         \
    CASE(id,                                                                                              \
         nn_depthwise_conv(&s, &r, &d->requant, band, d->weights, channel_level, d->level, d->in, d->out, \
                           d->scratch),                                                                   \
         shape constants)
#define GROUPED_CONV(id, groups, residual, shape, constants)                                    \
    CASE(id, nn_grouped_conv(&s, groups, &r, &d->requant, d->weights, d->in, residual, d->out), \
         shape constants)
#define NESTED_LINEAR(id, group, shape, constants)                                                          \
    CASE(id, nn_nested_linear(&s, &r, &d->requant, group, d->streams, d->level, d->in, d->out, d->scratch), \
         shape constants)
#define DENSE_LINEAR(id, shape, constants) \
    CASE(id, nn_dense_linear(&s, &r, &d->requant, d->weights, d->in, d->out, d->scratch), shape constants)
#define ADD(id, ...) CASE(id, nn_add(__VA_ARGS__, d->in, d->second, d->out), )
#define NORMALIZE(id, ...) \
    CASE(id, nn_normalize(__VA_ARGS__, (const int32_t *)(const void *)d->table, d->in, d->out), )
/* Multiplier and offset are no literals: they come from a table. */
#define MUL(id, blocks, rows, count, block_step, row_step, step, az, bz, m, offset, shift, lo, hi)          \
    CASE(id,                                                                                                \
         nn_mul(blocks, rows, count, block_step, row_step, step, az, bz, (int32_t)NN_OPAQUE((uint32_t)(m)), \
                (int32_t)NN_OPAQUE((uint32_t)(offset)), shift, lo, hi, d->in, d->second, d->out), )
#define MATMUL(id, batches, rows, columns, depth, by_columns, az, bz, m, bias, fraction, pre, lo, hi)    \
    CASE(id,                                                                                             \
         nn_matmul(batches, rows, columns, depth, by_columns, az, bz, (int32_t)NN_OPAQUE((uint32_t)(m)), \
                   bias, fraction, pre, lo, hi, d->in, d->second, d->out, d->scratch), )
#define CONCAT(id, runs, first, rest, align)                                \
    CASE(id, nn_concat(runs, first, 0, first + rest, align, d->in, d->out); \
         nn_concat(runs, rest, first, first + rest, align, d->second, d->out), )
#define PAD(id, fill, align, ...) \
    CASE(id, nn_pad(&s, fill, align, d->in, d->out), static const nn_gaps s = {__VA_ARGS__};)
#define REARRANGE(id, count, offset, align, ...)                        \
    CASE(id, nn_rearrange(&loops, count, offset, align, d->in, d->out), \
         static const nn_loops loops = {__VA_ARGS__};)
#define BILINEAR(id, align_corners, shape) CASE(id, nn_bilinear(&s, align_corners, d->in, d->out), shape)
#define MAX_POOL(id, shape)                CASE(id, nn_max_pool(&s, d->in, d->out), shape)
#define AVG_POOL(id, counted, zero_point, shape) \
    CASE(id, nn_avg_pool(&s, counted, zero_point, d->in, d->out), shape)
#define LOOKUP(id, count) CASE(id, nn_lookup(count, (const int8_t *)d->table, d->in, d->out), )
#define SOFTMAX(id, positions, channels, gain) \
    CASE(id, nn_softmax(positions, channels, gain, d->table, d->in, d->out), )

#include "cases.inc"

#undef CASE
#define CASE(id, call, ...) case_##id,
static void (*const cases[])(const run_data *) = {
#include "cases.inc"
};

/* bytes of new memory, their end at the end of the allocation; NULL for 0 bytes. */
static void *allocate(int32_t bytes, int32_t misalign_bytes)
{
    return bytes == 0 ? NULL : (char *)harness_allocate((size_t)(bytes + misalign_bytes)) + misalign_bytes;
}

static void *load(int file, int32_t bytes, int32_t misalign_bytes)
{
    void *data = allocate(bytes, misalign_bytes);
    if (bytes != 0 && !nn_port_read(file, data, (size_t)bytes)) {
        nn_port_exit(3);
    }
    return data;
}

static void *garbage(int32_t bytes, int32_t misalign_bytes)
{
    uint8_t *data = allocate(bytes, misalign_bytes);
    for (int32_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)(0x5A + 29 * i);
    }
    return data;
}

/* Operand number operand, and out over it where the run says so. */
static const int8_t *load_operand(int file, const run_header *h, int32_t operand, int32_t bytes, run_data *d)
{
    const int32_t below = h->distance_bytes > 0 ? h->distance_bytes : 0;
    const int32_t out_end = below - h->distance_bytes + h->out_bytes;
    const int32_t end = below + bytes > out_end ? below + bytes : out_end;
    int8_t *block;
    if (h->over != operand) {
        return load(file, bytes, h->misalign_bytes);
    }
    block = garbage(end, h->misalign_bytes);
    if (!nn_port_read(file, block + below, (size_t)bytes)) {
        nn_port_exit(3);
    }
    d->out = block + below - h->distance_bytes;
    return block + below;
}

static void run(int input, int output, const run_header *h)
{
    run_data d;
    d.level = (uint32_t)h->level;
    d.requant.residual_multiplier = h->residual_multiplier;
    d.requant.multiplier = load(input, h->multiplier_bytes, 0);
    d.requant.bias = load(input, h->bias_bytes, 0);
    d.requant.bias_delta = load(input, h->bias_delta_bytes, 0);
    d.weights = load(input, h->weights_bytes, 0);
    d.out = h->over == 0 ? garbage(h->out_bytes, h->misalign_bytes) : NULL;
    d.in = load_operand(input, h, 1, h->in_bytes, &d);
    d.second = load_operand(input, h, 2, h->second_bytes, &d);
    d.table = load(input, h->table_bytes, 0);
    d.channel_level = load(input, h->channel_level_bytes, 0);
    for (int32_t k = 0; k < h->stream_count; k++) {
        d.streams[k].positions = load(input, h->stream_bytes[2 * k], 0);
        d.streams[k].weights = load(input, h->stream_bytes[2 * k + 1], 0);
    }
    d.scratch = garbage(h->scratch_bytes, 0);
    cases[h->case_index](&d);
    if (!nn_port_write(output, d.out, (size_t)h->out_bytes)) {
        nn_port_exit(4);
    }
    harness_release();
}

int main(void)
{
    const int input = nn_port_open_read("cases.bin");
    const int output = nn_port_open_write("outputs.bin");
    run_header header;
    if (input < 0 || output < 0) {
        return 2;
    }
    while (nn_port_read(input, &header, sizeof header)) {
        run(input, output, &header);
    }
    return nn_port_close(output) ? 0 : 5;
}
