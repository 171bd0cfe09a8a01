/* api_test.c - every status of the public API, and that errors change nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Prints one line per failed check and returns their number.
 */
#include "nestnet.h"
#include "core/nn_crc32.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                   \
    do {                                                   \
        if (!(condition)) {                                \
            printf("line %d: %s\n", __LINE__, #condition); \
            failures++;                                    \
        }                                                  \
    } while (0)

static const char *const layer_names[] = {"first", "second"};
static const nn_level_info levels[] = {
    {.name = "90", .sparsity_permille = 900, .macs = 10, .cycles = 100},
    {.name = "80", .sparsity_permille = 805, .macs = 20, .cycles = 200},
    {.name = "50", .sparsity_permille = 499, .macs = 50, .cycles = 500},
};
static uint8_t weights[] = "123456789"; /* its CRC-32 is the catalogued check value */

static nn_status run_status = NN_OK, decode_status = NN_OK;
static unsigned decode_calls, decode_first, decode_last;

/* Output 0 tells the level, output 1 copies the input. */
static nn_status run(const nn_net *net, const int8_t *input, int8_t *output)
{
    output[0] = (int8_t)net->run_level;
    output[1] = input[0];
    if (net->profile != NULL) {
        net->profile(net->profile_context, 0);
        net->profile(net->profile_context, 1);
    }
    return run_status;
}

/* Counts its calls and remembers which levels it was to decode. */
static nn_status decode(const nn_net *net)
{
    decode_calls++;
    decode_first = net->decoded_levels;
    decode_last = net->run_level;
    return decode_status;
}

static const nn_tensor_info inputs[1] = {
    {.height = 1, .width = 1, .channels = 1, .zero_point = 0, .scale = 0.25f, .offset_bytes = 32},
};
static const nn_tensor_info outputs[1] = {
    {.height = 1, .width = 1, .channels = 2, .zero_point = 0, .scale = 1.0f, .offset_bytes = 40},
};

static nn_model model = {
    .runtime_version = NN_RUNTIME_VERSION,
    .name = "test",
    .inputs = inputs,
    .outputs = outputs,
    .arena_bytes = 24,
    .arena_and_edges_bytes = 42,
    .level_count = 3,
    .layer_count = 2,
    .input_count = 1,
    .output_count = 1,
    .levels = levels,
    .layer_names = layer_names,
    .weights = weights,
    .weights_bytes = 9,
    .weights_crc32 = 0xCBF43926u,
    .run = run,
};

static _Alignas(8) unsigned char arena[32];

/* nn_init must return expected and leave a poisoned net alone. */
static void check_init_fails(nn_status expected, const nn_model *given, void *memory, size_t bytes)
{
    nn_net net, before;
    memset(&net, 0xA5, sizeof net);
    memcpy(&before, &net, sizeof net);
    const nn_status got = nn_init(&net, given, memory, bytes);
    if (got != expected) {
        printf("nn_init: got %d (%s), expected %d\n", got, nn_strerror(got), expected);
        failures++;
    }
    CHECK(memcmp(&net, &before, sizeof net) == 0);
}

static void test_init(void)
{
    nn_net net;
    CHECK(nn_init(NULL, &model, arena, sizeof arena) == NN_ERR_NULL);
    check_init_fails(NN_ERR_NULL, NULL, arena, sizeof arena);
    check_init_fails(NN_ERR_NULL, &model, NULL, sizeof arena);
    for (unsigned offset = 1; offset < NN_ARENA_ALIGN_BYTES; offset++) {
        check_init_fails(NN_ERR_ARENA_ALIGN, &model, arena + offset, 24);
    }
    check_init_fails(NN_ERR_ARENA_SIZE, &model, arena, 23);
    check_init_fails(NN_ERR_ARENA_SIZE, &model, arena, 0);

    nn_model other = model;
    other.runtime_version = NN_RUNTIME_VERSION + 1;
    check_init_fails(NN_ERR_MODEL, &other, arena, sizeof arena);
    other.runtime_version = NN_RUNTIME_VERSION;
    other.level_count = 0;
    check_init_fails(NN_ERR_MODEL, &other, arena, sizeof arena);
    other.level_count = 300;
    check_init_fails(NN_ERR_MODEL, &other, arena, sizeof arena);

    for (unsigned bit = 0; bit < 72; bit++) { /* any single flipped bit is noticed */
        weights[bit / 8] ^= (uint8_t)(1u << bit % 8);
#if CHECKS_WEIGHTS
        check_init_fails(NN_ERR_WEIGHTS, &model, arena, 24);
#else
        CHECK(nn_init(&net, &model, arena, 24) == NN_OK);
#endif
        weights[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }

    memset(&net, 0xA5, sizeof net);
    CHECK(nn_init(&net, &model, arena, 24) == NN_OK);
    CHECK(net.level == 2 && net.run_level == 2 && net.model == &model && net.arena == arena &&
          net.profile == NULL);
}

static void test_levels(void)
{
    nn_net net;
    CHECK(nn_init(&net, &model, arena, sizeof arena) == NN_OK);
    for (unsigned level = 0; level < 3; level++) {
        CHECK(nn_set_level(&net, level) == NN_OK && net.level == level);
        CHECK(nn_level(&net, level) == &levels[level]);
        CHECK(nn_set_level(&net, 3) == NN_ERR_LEVEL && net.level == level);
        CHECK(nn_set_level(&net, 256 + 1) == NN_ERR_LEVEL && net.level == level);
        CHECK(nn_set_sparsity(&net, 91) == NN_ERR_SPARSITY && net.level == level);
        CHECK(nn_set_sparsity(&net, 101) == NN_ERR_SPARSITY && net.level == level);
        CHECK(nn_set_sparsity(&net, 0xFFFFFFFFu) == NN_ERR_SPARSITY && net.level == level);
        CHECK(nn_fit_cycles(&net, 99) == NN_ERR_BUDGET && net.level == level);
    }
    CHECK(nn_level(&net, 3) == NULL && nn_level(NULL, 0) == NULL);
    CHECK(nn_set_level(NULL, 0) == NN_ERR_NULL);
    CHECK(nn_set_sparsity(NULL, 0) == NN_ERR_NULL);
    CHECK(nn_fit_cycles(NULL, 0) == NN_ERR_NULL);

    static const struct {
        unsigned percent, level;
    } sparsities[] = {{0, 2}, {49, 2}, {50, 1}, {80, 1}, {81, 0}, {90, 0}};
    for (unsigned i = 0; i < sizeof sparsities / sizeof sparsities[0]; i++) {
        CHECK(nn_set_sparsity(&net, sparsities[i].percent) == NN_OK && net.level == sparsities[i].level);
    }
    static const struct {
        uint32_t budget, level;
    } budgets[] = {{100, 0}, {199, 0}, {200, 1}, {499, 1}, {500, 2}, {0xFFFFFFFFu, 2}};
    for (unsigned i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        CHECK(nn_fit_cycles(&net, budgets[i].budget) == NN_OK && net.level == budgets[i].level);
    }
}

static void count_calls(void *context, unsigned layer)
{
    unsigned *calls = context;
    CHECK(layer == *calls);
    *calls += 1;
}

/* Called twice a run: two levels on, modulo 3. Any of the three ways may choose. */
static void choose_another(void *context, unsigned layer)
{
    nn_net *net = context;
    static const unsigned percents[] = {90, 80, 0};
    static const uint32_t budgets[] = {100, 200, 500};
    const unsigned next = (net->level + 1u) % 3u;
    CHECK(layer == 0 ? nn_set_sparsity(net, percents[next]) == NN_OK
                     : nn_fit_cycles(net, budgets[next]) == NN_OK);
}

static void test_run(void)
{
    nn_net net, second;
    const int8_t input[1] = {42};
    int8_t output[2] = {0, 0};
    unsigned calls = 0;
    CHECK(nn_init(&net, &model, arena, sizeof arena) == NN_OK);
    CHECK(nn_init(&second, &model, arena, sizeof arena) == NN_OK);
    CHECK(nn_run(NULL, input, output) == NN_ERR_NULL);
    CHECK(nn_run(&net, NULL, output) == NN_ERR_NULL);
    CHECK(nn_run(&net, input, NULL) == NN_ERR_NULL);
    CHECK(output[0] == 0 && output[1] == 0);
    CHECK(nn_set_level(&net, 1) == NN_OK);
    CHECK(nn_run(&net, input, output) == NN_OK && output[0] == 1 && output[1] == 42);
    CHECK(nn_run(&second, input, output) == NN_OK && output[0] == 2); /* independent of the first */
    CHECK(nn_set_profile(NULL, count_calls, &calls) == NN_ERR_NULL);
    CHECK(nn_set_profile(&net, count_calls, &calls) == NN_OK);
    CHECK(nn_run(&net, input, output) == NN_OK && calls == 2);
    CHECK(nn_set_profile(&net, NULL, NULL) == NN_OK);
    CHECK(nn_run(&net, input, output) == NN_OK && calls == 2);

    /* A level chosen while a run runs is the next one's. */
    for (unsigned level = 0; level < 3; level++) {
        CHECK(nn_set_level(&net, level) == NN_OK && nn_set_profile(&net, choose_another, &net) == NN_OK);
        CHECK(nn_run(&net, input, output) == NN_OK && output[0] == (int8_t)level);
        CHECK(net.run_level == level && net.level == (level + 2) % 3);
    }

    nn_net empty;
    memset(&empty, 0, sizeof empty); /* never initialized: an error, not a crash */
    CHECK(nn_run(&empty, input, output) == NN_ERR_NULL);
    CHECK(nn_set_level(&empty, 0) == NN_ERR_NULL);
    CHECK(nn_set_sparsity(&empty, 0) == NN_ERR_NULL);
    CHECK(nn_fit_cycles(&empty, 0) == NN_ERR_NULL);
    CHECK(nn_level(&empty, 0) == NULL);
}

/* nn_run passes errors on and stays usable. */
static void test_damage(void)
{
    nn_net net;
    const int8_t input[1] = {42};
    int8_t output[2] = {0, 0};
    CHECK(nn_init(&net, &model, arena, sizeof arena) == NN_OK);
    run_status = NN_ERR_WEIGHTS;
    CHECK(nn_run(&net, input, output) == NN_ERR_WEIGHTS && net.level == 2);
    run_status = NN_OK;
    CHECK(nn_run(&net, input, output) == NN_OK && output[0] == 2);
}

/* Run at level; it must decode levels first .. level, or nothing if first is above level. */
static void check_decodes(nn_net *net, unsigned level, unsigned first)
{
    const int8_t input[1] = {42};
    int8_t output[2] = {0, 0};
    const unsigned calls = decode_calls;
    CHECK(nn_set_level(net, level) == NN_OK);
    CHECK(decode_calls == calls); /* choosing a level decodes nothing */
    CHECK(nn_run(net, input, output) == NN_OK && output[0] == (int8_t)level);
    CHECK(decode_calls == calls + (first <= level));
    CHECK(first > level || (decode_first == first && decode_last == level));
}

static void test_decode(void)
{
    nn_net net;
    const int8_t input[1] = {42};
    int8_t output[2] = {0, 0};
    nn_model decoding = model;
    decoding.decode = decode;
    CHECK(nn_init(&net, &decoding, arena, sizeof arena) == NN_OK);
    CHECK(net.decoded_levels == 0 && decode_calls == 0);
    check_decodes(&net, 0, 0);
    check_decodes(&net, 0, 1); /* still there */
    check_decodes(&net, 2, 1); /* only what is new */
    check_decodes(&net, 1, 3); /* level 2 contains it */
    check_decodes(&net, 2, 3);
    CHECK(nn_init(&net, &decoding, arena, sizeof arena) == NN_OK); /* the arena may have been used */
    decode_status = NN_ERR_WEIGHTS;
    CHECK(nn_set_level(&net, 1) == NN_OK);
    CHECK(nn_run(&net, input, output) == NN_ERR_WEIGHTS && output[1] == 0); /* nothing ran */
    CHECK(nn_run(&net, input, output) == NN_ERR_WEIGHTS && decode_calls == 4);
    decode_status = NN_OK;
    check_decodes(&net, 1, 0);
    decode_status = NN_ERR_WEIGHTS;
    CHECK(nn_set_level(&net, 2) == NN_OK && nn_run(&net, input, output) == NN_ERR_WEIGHTS);
    check_decodes(&net, 1, 3); /* what was there is not lost */
    decode_status = NN_OK;
    check_decodes(&net, 2, 2);
}

static void test_values(void)
{
    const nn_tensor_info tensor = {.zero_point = -3, .scale = 0.25f};
    static const struct {
        float real;
        int8_t quantized;
    } pairs[] = {
        {0.0f, -3},    {0.25f, -2},     {0.12f, -3},     {0.13f, -2},    {0.125f, -2},
        {-0.125f, -4}, {-0.12f, -3},    {31.0f, 121},    {32.5f, 127},   {1000.0f, 127},
        {1e30f, 127},  {-31.25f, -128}, {-100.0f, -128}, {-1e30f, -128},
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        CHECK(nn_quantize(&tensor, pairs[i].real) == pairs[i].quantized);
    }
    CHECK(nn_quantize(&tensor, INFINITY) == 127 && nn_quantize(&tensor, -INFINITY) == -128);
    CHECK(nn_quantize(&tensor, NAN) == -3);
    for (int q = -128; q <= 127; q++) {
        CHECK(nn_quantize(&tensor, nn_dequantize(&tensor, (int8_t)q)) == q);
    }
    const int8_t values[] = {-128, 5, 7, 7, -1};
    CHECK(nn_argmax(values, 5) == 2 && nn_argmax(values, 1) == 0 && nn_argmax(values, 2) == 1);
}

/* Tell the level in the second of three outputs; the third is a view of it. */
static nn_status run_edges(const nn_net *net, const int8_t *input, int8_t *output)
{
    if (input != nn_input(net, 0) || output != nn_output(net, 0)) {
        return NN_ERR_EDGES;
    }
    *nn_output(net, 1) = (int8_t)(net->run_level + *nn_input(net, 1));
    return NN_OK;
}

static void test_edges(void)
{
    static _Alignas(8) unsigned char room[48];
    nn_net net;
    /* One of each: own buffers where the arena has room for them, byte by byte. */
    for (size_t bytes = 24; bytes <= sizeof room; bytes++) {
        CHECK(nn_init(&net, &model, room, bytes) == NN_OK);
        CHECK(nn_input(&net, 0) == (bytes >= 42 ? (int8_t *)room + 32 : NULL));
        CHECK(nn_output(&net, 0) == (bytes >= 42 ? (int8_t *)room + 40 : NULL));
        CHECK(nn_run(&net, NULL, NULL) == (bytes >= 42 ? NN_OK : NN_ERR_NULL));
    }
    int8_t output[2];
    *nn_input(&net, 0) = 17;
    CHECK(nn_run(&net, NULL, output) == NN_OK && output[1] == 17);
    CHECK(nn_run(&net, output, NULL) == NN_OK && nn_output(&net, 0)[1] == output[0]);
    CHECK(nn_input(&net, 1) == NULL && nn_output(&net, 1) == NULL && nn_output(&net, UINT_MAX) == NULL);

    static const nn_tensor_info two[2] = {
        {.height = 1, .width = 1, .channels = 3, .scale = 1.0f, .offset_bytes = 0},
        {.height = 1, .width = 1, .channels = 1, .scale = 1.0f, .offset_bytes = 8},
    };
    static const nn_tensor_info three[3] = {
        {.height = 1, .width = 1, .channels = 1, .scale = 1.0f, .offset_bytes = 0},
        {.height = 1, .width = 2, .channels = 1, .scale = 1.0f, .offset_bytes = 16},
        {.height = 2, .width = 1, .channels = 1, .scale = 1.0f, .offset_bytes = 16},
    };
    nn_model several = model;
    several.arena_and_edges_bytes = 24;
    several.inputs = two;
    several.outputs = three;
    several.input_count = 2;
    several.output_count = 3;
    several.run = run_edges;
    CHECK(nn_init(&net, &several, room, 24) == NN_OK);
    for (unsigned i = 0; i < several.input_count; i++) {
        CHECK(nn_input(&net, i) == (int8_t *)room + two[i].offset_bytes);
    }
    *nn_input(&net, 1) = 40;
    CHECK(nn_run(&net, NULL, NULL) == NN_OK && *nn_output(&net, 2) == 42);
    CHECK(nn_output(&net, 1) == nn_output(&net, 2) && nn_output(&net, 3) == NULL &&
          nn_input(&net, 2) == NULL);
    CHECK(nn_run(&net, output, NULL) == NN_ERR_EDGES && nn_run(&net, NULL, output) == NN_ERR_EDGES);
    CHECK(nn_run(&net, nn_input(&net, 0), nn_output(&net, 0)) == NN_OK);
    nn_net empty;
    memset(&empty, 0, sizeof empty);
    CHECK(nn_input(NULL, 0) == NULL && nn_output(NULL, 0) == NULL);
    CHECK(nn_input(&empty, 0) == NULL && nn_output(&empty, 0) == NULL);
}

static void test_texts(void)
{
    for (int status = 0; status < NN_STATUS_COUNT; status++) {
        for (int other = 0; other < status; other++) {
            CHECK(strcmp(nn_strerror((nn_status)status), nn_strerror((nn_status)other)) != 0);
        }
    }
    CHECK(strcmp(nn_strerror(NN_OK), "ok") == 0);
    CHECK(strcmp(nn_strerror(NN_STATUS_COUNT), "unknown status") == 0);
    CHECK(strcmp(nn_strerror((nn_status)77), "unknown status") == 0);
}

static void test_crc(void)
{
    CHECK(nn_crc32(NULL, 0) == 0);
    CHECK(nn_crc32("123456789", 9) == 0xCBF43926u);
    CHECK(nn_crc32("The quick brown fox jumps over the lazy dog", 43) == 0x414FA339u);
}

int main(void)
{
    test_init();
    test_levels();
    test_run();
    test_damage();
    test_decode();
    test_edges();
    test_values();
    test_texts();
    test_crc();
    return failures;
}
