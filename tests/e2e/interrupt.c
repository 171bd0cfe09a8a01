/* interrupt.c - a SysTick handler chooses levels while nn_run runs: the C side of interrupts.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Built with -DMODEL=<nn_model_...>, its sizes, and -DRUNS and -DSEED. Reads IMAGES images from images.bin,
 * runs each at every level without interrupts and writes those outputs, image by image, to expected.bin. Then
 * it runs RUNS times under interrupts whose distance is drawn anew each time, up to the length of a run, and
 * prints: runs, runs in which the chosen level changed, outputs other than the run's level's, outputs of no
 * level at all. Returns 0 if all outputs were right.
 */
#include "model.h"
#include "nn_port.h"

#include <string.h>

#define IMAGES  4u
#define VECTORS 16u

#define SYST_CSR           (*(volatile uint32_t *)0xE000E010u)
#define SYST_CSR_ENABLE    5u /* the core's clock, no interrupt */
#define SYST_CSR_INTERRUPT 7u
#define SYST_RVR           (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR           (*(volatile uint32_t *)0xE000E018u)
#define SYST_MAX           0xFFFFFFu
#define SCB_VTOR           (*(volatile uint32_t *)0xE000ED08u)

static uint8_t arena[ARENA_BYTES] __attribute__((aligned(NN_ARENA_ALIGN_BYTES)));
static int8_t images[IMAGES][INPUT_BYTES];
static int8_t expected[IMAGES][LEVELS][OUTPUT_BYTES];
static int8_t output[OUTPUT_BYTES];
static uint32_t vectors[VECTORS] __attribute__((aligned(128)));

static nn_net net;
static uint32_t random_state = SEED;
static uint32_t span_ticks;
static volatile int running;
static volatile uint32_t changes; /* of the level, in the run in progress */
static volatile float noise = 1.0f;

/* xorshift32 */
static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

/* Choose any level in any way, use the FPU, come again at another moment. */
static void choose_level(void)
{
    const unsigned level = draw(LEVELS);
    switch (draw(3)) {
    case 0:
        (void)nn_set_level(&net, level);
        break;
    case 1:
        (void)nn_set_sparsity(&net, nn_level(&net, level)->sparsity_permille / 10u);
        break;
    default:
        (void)nn_fit_cycles(&net, nn_level(&net, level)->cycles);
        break;
    }
    noise = noise * 0.5f + (float)level;
    __asm__ volatile("vmov s0, %0\n\tvmov s7, %0\n\tvmov s15, %0" ::"r"(level) : "s0", "s7", "s15");
    if (running && net.level != net.run_level) {
        changes++;
    }
    SYST_RVR = 1u + draw(span_ticks);
    SYST_CVR = 0;
}

/* The table in flash with one entry of its own. */
static void install_handler(void)
{
    memcpy(vectors, (const void *)(uintptr_t)SCB_VTOR, sizeof vectors);
    vectors[15] = (uint32_t)choose_level;
    SCB_VTOR = (uint32_t)vectors;
}

static int compute_expected(void)
{
    for (unsigned image = 0; image < IMAGES; image++) {
        for (unsigned level = 0; level < LEVELS; level++) {
            SYST_RVR = SYST_MAX;
            SYST_CVR = 0;
            SYST_CSR = SYST_CSR_ENABLE;
            if (nn_set_level(&net, level) != NN_OK ||
                nn_run(&net, images[image], expected[image][level]) != NN_OK) {
                return 0;
            }
            span_ticks = SYST_MAX - SYST_CVR; /* of the densest level, once all is decoded, in the end */
        }
    }
    return span_ticks > 0u;
}

static void show(const char *what, uint32_t number)
{
    nn_port_print_number(number);
    nn_port_print(what);
}

static int run_under_interrupts(void)
{
    uint32_t changed = 0, wrong = 0, of_none = 0;
    install_handler();
    SYST_RVR = span_ticks / 2u + 1u;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_INTERRUPT;
    for (uint32_t run = 0; run < RUNS; run++) {
        const uint32_t image = run % IMAGES;
        int none = 1;
        if (run % 7u == 0u) { /* what is decoded once is decoded again; nn_init must be alone */
            __asm__ volatile("cpsid i" ::: "memory");
            if (nn_init(&net, &MODEL, arena, sizeof arena) != NN_OK) {
                return 0;
            }
            __asm__ volatile("cpsie i" ::: "memory");
        }
        memset(output, 0x55, sizeof output);
        changes = 0;
        running = 1;
        const nn_status status = nn_run(&net, images[image], output);
        running = 0;
        changed += changes != 0u;
        for (unsigned level = 0; level < LEVELS; level++) {
            none &= memcmp(output, expected[image][level], sizeof output) != 0;
        }
        of_none += (uint32_t)none;
        wrong += status != NN_OK || memcmp(output, expected[image][net.run_level], sizeof output) != 0;
    }
    SYST_CSR = 0;
    show(" runs, ", RUNS);
    show(" changed, ", changed);
    show(" wrong, ", wrong);
    show(" of no level\n", of_none);
    return wrong == 0u;
}

int main(void)
{
    const int in = nn_port_open_read("images.bin");
    const int out = nn_port_open_write("expected.bin");
    if (in < 0 || out < 0 || !nn_port_read(in, images, sizeof images) ||
        nn_init(&net, &MODEL, arena, sizeof arena) != NN_OK || !compute_expected() ||
        !nn_port_write(out, expected, sizeof expected) || !nn_port_close(out)) {
        return 2;
    }
    return run_under_interrupts() ? 0 : 1;
}
