/* fault_test.c - end in one of the ways of -DWAY: how start-up code answers is checked by test_startup.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_port.h"

#define RETURN    0
#define UNDEFINED 1
#define NOWHERE   2
#define OVERFLOW  3

static volatile float half = 0.5f;

static uint32_t dig(volatile uint32_t depth)
{
    volatile uint32_t hole[64] = {depth};
    return depth == 0u ? hole[0] : dig(depth + 1u) + hole[0];
}

int main(void)
{
    nn_port_print("before\n"); /* a semihosting call: a fault where nobody listens */
    half *= half;              /* from here on frames hold FPU registers where there are any */
#if WAY == UNDEFINED
    __asm__ volatile("udf #1");
#elif WAY == NOWHERE
    ((void (*)(void))(uintptr_t)0x90000001u)();
#elif WAY == OVERFLOW
    return (int)dig(1);
#endif
    nn_port_print("after\n");
    return half == 0.25f ? 7 : 8;
}
