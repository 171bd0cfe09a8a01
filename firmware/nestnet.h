/* nestnet.h - the public C API of a nestnet network: 13 functions, no allocation, no stdio.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A network is a constant nn_model (generated) plus a caller-owned nn_net and a caller-owned arena.
 * Several networks, or several nn_net of one model, may live in one program; there are no globals, and
 * different nn_net objects are independent. On one nn_net, nn_set_level, nn_set_sparsity and nn_fit_cycles
 * may be called at any moment after nn_init, also from an interrupt, another task or the profile hook while
 * nn_run runs: each ends in one store of one byte, which the next nn_run reads once. Everything else on one
 * nn_net, nn_run included, must not overlap in time with another call on it.
 */
#ifndef NESTNET_H
#define NESTNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Generated code checks this against the version it was generated for. */
#define NN_RUNTIME_VERSION 4

/* Every arena must be aligned to this many bytes. */
#define NN_ARENA_ALIGN_BYTES 8u

/* The one list of status codes and their texts; nn_status and nn_strerror are made from it. */
#define NN_STATUS_LIST(X)                                                      \
    X(NN_OK, "ok")                                                             \
    X(NN_ERR_NULL, "a required pointer is null")                               \
    X(NN_ERR_ARENA_ALIGN, "arena is not aligned to NN_ARENA_ALIGN_BYTES")      \
    X(NN_ERR_ARENA_SIZE, "arena is smaller than the model's NN_*_ARENA_BYTES") \
    X(NN_ERR_LEVEL, "level is out of range")                                   \
    X(NN_ERR_SPARSITY, "no level is that sparse")                              \
    X(NN_ERR_BUDGET, "no level fits the cycle budget")                         \
    X(NN_ERR_WEIGHTS, "weight image is damaged")                               \
    X(NN_ERR_MODEL, "model was generated for another runtime version")         \
    X(NN_ERR_EDGES, "not this network's own buffers")

#define NN_STATUS_ENUM(code, text) code,
typedef enum { NN_STATUS_LIST(NN_STATUS_ENUM) NN_STATUS_COUNT } nn_status;
#undef NN_STATUS_ENUM

/* What one level costs and gives. Constant, generated. */
typedef struct {
    const char *name;
    uint16_t sparsity_permille;  /* over all prunable weights, 0..1000 */
    uint16_t accuracy_permyriad; /* score on test data of the integer network: top-1, of a task
                                    what its reports say; 0..10000, 0xFFFF: not known */
    uint32_t macs;               /* multiply-accumulates of one inference */
    uint32_t cycles;             /* of one inference, UINT32_MAX if not known; model.h says whence they are */
    uint32_t weight_bytes;       /* flash read by this level: weights, positions and tables */
} nn_level_info;

/* What the numbers of an input or output are. */
typedef enum {
    NN_MEANS_PLAIN,        /* nothing is known */
    NN_MEANS_PIXELS,       /* of an image, minus 128 */
    NN_MEANS_SAMPLES,      /* of a signal */
    NN_MEANS_CLASS_SCORES, /* one channel per class, the largest wins */
    NN_MEANS_BOXES,
    NN_MEANS_MAP /* something at each position */
} nn_meaning;

/* An int8 tensor at the edge of the network: real = scale * (q - zero_point); axes h, w, c. */
typedef struct {
    uint16_t height;
    uint16_t width;
    uint16_t channels;
    int8_t zero_point;
    uint8_t meaning; /* an nn_meaning */
    float scale;
    uint32_t offset_bytes; /* of its own buffer in the arena; see nn_input */
} nn_tensor_info;

struct nn_net;

/* A generated network. Constant; lives in flash. */
typedef struct {
    uint32_t runtime_version; /* NN_RUNTIME_VERSION of the generator */
    const char *name;
    const nn_tensor_info *inputs;   /* input_count entries */
    const nn_tensor_info *outputs;  /* output_count entries */
    uint32_t arena_bytes;           /* least that nn_init takes */
    uint32_t arena_and_edges_bytes; /* least in which nn_input and nn_output have buffers */
    uint16_t level_count;
    uint16_t layer_count;
    uint8_t input_count;
    uint8_t output_count;
    const nn_level_info *levels;    /* level_count entries, sparsest first */
    const char *const *layer_names; /* layer_count entries */
    const void *weights;            /* one contiguous image */
    uint32_t weights_bytes;
    uint32_t weights_crc32; /* IEEE 802.3 CRC-32 of the image */
    nn_status (*run)(const struct nn_net *net, const int8_t *input, int8_t *output);
    /* Decode the coded streams of levels decoded_levels .. run_level to where run expects them; NULL if there
     * are none, or if run decodes each layer's itself. */
    nn_status (*decode)(const struct nn_net *net);
} nn_model;

/* Called after each layer if set: layer is 0 .. layer_count - 1. */
typedef void (*nn_profile_hook)(void *context, unsigned layer);

/* State of one network. Treat the members as read-only; change them through the functions below. */
typedef struct nn_net {
    const nn_model *model;
    void *arena;
    int8_t *edges; /* the arena if nn_input and nn_output have buffers in it, else NULL */
    nn_profile_hook profile;
    void *profile_context;
    volatile uint8_t level; /* of the next run; may change while one runs */
    uint8_t run_level;      /* of the current or last run: level as it was when nn_run began */
    uint8_t decoded_levels; /* levels 0 .. decoded_levels - 1 are in the arena; 0 without model->decode */
} nn_net;

/* Bind model and arena; the level becomes the densest. Verifies the weight image unless
 * NN_CHECK_WEIGHTS is 0. On any error *net is left as it was.
 * An arena may be lent to other networks and purposes between two calls of nn_run, unless the model was
 * generated with --decode level (model->decode is then set): its decoded streams stay in the arena, which
 * then belongs to this nn_net alone. Call nn_init again after using it for anything else. Errors:
 * NN_ERR_NULL, NN_ERR_MODEL, NN_ERR_ARENA_ALIGN, NN_ERR_ARENA_SIZE, NN_ERR_WEIGHTS. */
nn_status nn_init(nn_net *net, const nn_model *model, void *arena, size_t arena_bytes);

/* Choose the level of the next nn_run, O(1), at any moment (see above). A run in progress keeps its own.
 * Errors: NN_ERR_NULL, NN_ERR_LEVEL (level unchanged). */
nn_status nn_set_level(nn_net *net, unsigned level);

/* Choose the densest level whose sparsity is at least percent, as nn_set_level does.
 * Errors: NN_ERR_NULL, NN_ERR_SPARSITY if even the sparsest level is denser (level unchanged). */
nn_status nn_set_sparsity(nn_net *net, unsigned percent);

/* Choose the densest level whose cycles are at most budget_cycles, as nn_set_level does.
 * Errors: NN_ERR_NULL, NN_ERR_BUDGET if the sparsest level is too slow, or the cycles are not known
 * (UINT32_MAX, above every smaller budget); the level is unchanged. */
nn_status nn_fit_cycles(nn_net *net, uint32_t budget_cycles);

/* Facts about a level, or NULL if there is no such level or net is NULL. */
const nn_level_info *nn_level(const nn_net *net, unsigned level);

/* Run one inference at the level last chosen before it began; net->run_level says which. Tensors are int8 in
 * h, w, c order with the shapes in model->inputs and model->outputs.
 * A network with one input and one output takes the caller's buffers, which must not overlap each other or
 * the arena; the input is only read. Any other network runs on the buffers that nn_input and nn_output
 * return. NULL stands for nn_input(net, 0) or nn_output(net, 0), so that nn_run(net, NULL, NULL) runs every
 * network that has them. With --decode level, the first run at a level denser than all before decodes what is
 * new. Errors: NN_ERR_NULL, also where NULL stands for a buffer that the arena has no room for; NN_ERR_EDGES
 * if a network with several inputs or outputs is given another buffer; NN_ERR_WEIGHTS if coded weights cannot
 * be decoded: the outputs are then unspecified, the network stays usable, and the next run decodes again. */
nn_status nn_run(nn_net *net, const int8_t *input, int8_t *output);

/* The network's own buffer of an input or output, height * width * channels bytes, aligned to
 * NN_ARENA_ALIGN_BYTES: constant from nn_init on, the same at every level. It lies in the arena. NULL if
 * there is no such index, if net is NULL, or if the arena has no room for it: a network with one input and
 * one output has these buffers only in an arena of NN_<MODEL>_ARENA_AND_EDGES_BYTES, any other network
 * always. Write every input before every run: nn_run may overwrite an input once it has read it. Outputs are
 * valid from the end of nn_run to its next call, or until the arena is used for anything else; they may be
 * changed in place. Outputs that are views of one another share their buffer. */
int8_t *nn_input(const nn_net *net, unsigned index);
int8_t *nn_output(const nn_net *net, unsigned index);

/* Install (or with NULL remove) the per-layer hook, between two calls of nn_run. Errors: NN_ERR_NULL if net
 * is NULL. */
nn_status nn_set_profile(nn_net *net, nn_profile_hook hook, void *context);

/* Convert between real and int8 values of an edge tensor; quantizing rounds to nearest and saturates;
 * NaN becomes the zero point. */
int8_t nn_quantize(const nn_tensor_info *tensor, float real);
float nn_dequantize(const nn_tensor_info *tensor, int8_t quantized);

/* Index of the largest of count values, the first of equals. count must be at least 1. */
unsigned nn_argmax(const int8_t *values, unsigned count);

/* Text of a status code; never NULL. */
const char *nn_strerror(nn_status status);

#ifdef __cplusplus
}
#endif
#endif
