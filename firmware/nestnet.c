/* nestnet.c - the public API; contracts in nestnet.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nestnet.h"

#include "nn_config.h"
#include "core/nn_crc32.h"

/* Index of the densest level: the last one. */
static unsigned nn_densest(const nn_net *net)
{
    return net->model->level_count - 1u;
}

nn_status nn_init(nn_net *net, const nn_model *model, void *arena, size_t arena_bytes)
{
    if (net == NULL || model == NULL || arena == NULL) {
        return NN_ERR_NULL;
    }
    if (model->runtime_version != NN_RUNTIME_VERSION || model->level_count < 1u ||
        model->level_count > NN_MAX_LEVELS) {
        return NN_ERR_MODEL;
    }
    if ((uintptr_t)arena % NN_ARENA_ALIGN_BYTES != 0u) {
        return NN_ERR_ARENA_ALIGN;
    }
    if (arena_bytes < model->arena_bytes) {
        return NN_ERR_ARENA_SIZE;
    }
    if (NN_CHECK_WEIGHTS && nn_crc32(model->weights, model->weights_bytes) != model->weights_crc32) {
        return NN_ERR_WEIGHTS;
    }
    net->model = model;
    net->arena = arena;
    net->edges = arena_bytes >= model->arena_and_edges_bytes ? arena : NULL;
    net->profile = NULL;
    net->profile_context = NULL;
    net->level = (uint8_t)nn_densest(net);
    net->run_level = (uint8_t)nn_densest(net);
    net->decoded_levels = 0;
    return NN_OK;
}

nn_status nn_set_level(nn_net *net, unsigned level)
{
    if (net == NULL || net->model == NULL) {
        return NN_ERR_NULL;
    }
    if (level >= net->model->level_count) {
        return NN_ERR_LEVEL;
    }
    net->level = (uint8_t)level;
    return NN_OK;
}

nn_status nn_set_sparsity(nn_net *net, unsigned percent)
{
    if (net == NULL || net->model == NULL) {
        return NN_ERR_NULL;
    }
    if (percent > 100u) {
        return NN_ERR_SPARSITY;
    }
    for (unsigned k = net->model->level_count; k-- > 0u;) {
        if (net->model->levels[k].sparsity_permille >= percent * 10u) {
            return nn_set_level(net, k);
        }
    }
    return NN_ERR_SPARSITY;
}

nn_status nn_fit_cycles(nn_net *net, uint32_t budget_cycles)
{
    if (net == NULL || net->model == NULL) {
        return NN_ERR_NULL;
    }
    for (unsigned k = net->model->level_count; k-- > 0u;) {
        if (net->model->levels[k].cycles <= budget_cycles) {
            return nn_set_level(net, k);
        }
    }
    return NN_ERR_BUDGET;
}

const nn_level_info *nn_level(const nn_net *net, unsigned level)
{
    if (net == NULL || net->model == NULL || level >= net->model->level_count) {
        return NULL;
    }
    return &net->model->levels[level];
}

nn_status nn_run(nn_net *net, const int8_t *input, int8_t *output)
{
    if (net == NULL || net->model == NULL) {
        return NN_ERR_NULL;
    }
    if (net->edges != NULL) {
        input = input != NULL ? input : net->edges + net->model->inputs->offset_bytes;
        output = output != NULL ? output : net->edges + net->model->outputs->offset_bytes;
    }
    if (input == NULL || output == NULL) {
        return NN_ERR_NULL;
    }
    net->run_level = net->level; /* once: everything below reads the copy */
    if (net->model->decode != NULL && net->decoded_levels <= net->run_level) {
        const nn_status status = net->model->decode(net);
        if (status != NN_OK) {
            return status;
        }
        net->decoded_levels = (uint8_t)(net->run_level + 1u);
    }
    return net->model->run(net, input, output);
}

int8_t *nn_input(const nn_net *net, unsigned index)
{
    if (net == NULL || net->edges == NULL || index >= net->model->input_count) {
        return NULL;
    }
    return net->edges + net->model->inputs[index].offset_bytes;
}

int8_t *nn_output(const nn_net *net, unsigned index)
{
    if (net == NULL || net->edges == NULL || index >= net->model->output_count) {
        return NULL;
    }
    return net->edges + net->model->outputs[index].offset_bytes;
}

nn_status nn_set_profile(nn_net *net, nn_profile_hook hook, void *context)
{
    if (net == NULL) {
        return NN_ERR_NULL;
    }
    net->profile = hook;
    net->profile_context = context;
    return NN_OK;
}

int8_t nn_quantize(const nn_tensor_info *tensor, float real)
{
    const float steps = real / tensor->scale;
    uint32_t bits;
    int32_t rounded;
    __builtin_memcpy(&bits, &steps, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) { /* NaN; -ffast-math would drop steps != steps */
        return tensor->zero_point;
    }
    if (steps >= 256.0f) {
        return 127;
    }
    if (steps <= -256.0f) {
        return -128;
    }
    rounded = (int32_t)steps; /* towards zero; the remainder is exact, so ties go away from zero */
    if (steps - (float)rounded >= 0.5f) {
        rounded++;
    } else if (steps - (float)rounded <= -0.5f) {
        rounded--;
    }
    rounded += tensor->zero_point;
    return (int8_t)(rounded > 127 ? 127 : rounded < -128 ? -128 : rounded);
}

float nn_dequantize(const nn_tensor_info *tensor, int8_t quantized)
{
    return tensor->scale * (float)(quantized - tensor->zero_point);
}

const char *nn_strerror(nn_status status)
{
#define NN_STATUS_TEXT(code, text) [code] = text,
    static const char *const texts[] = {NN_STATUS_LIST(NN_STATUS_TEXT)};
#undef NN_STATUS_TEXT
    return (unsigned)status < NN_STATUS_COUNT ? texts[status] : "unknown status";
}
