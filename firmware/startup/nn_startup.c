/* nn_startup.c - reset code for Cortex-M4 and Cortex-M7: vector table, FPU, caches, memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The clock stays as reset leaves it. Interrupts are never enabled, so the table ends with the
 * system exceptions. Compile with -DNN_CORE_CACHES=1 for a core with L1 caches.
 * Source: ARMv7-M Architecture Reference Manual B1.5 (exceptions), B2.2 (caches), B3.2 (registers).
 */
#include <stdint.h>

#ifndef NN_CORE_CACHES
#define NN_CORE_CACHES 0 /* 0 or 1 */
#endif

#define SCB_CCR                   (*(volatile uint32_t *)0xE000ED14u)
#define SCB_CCR_DATA_CACHE        (1u << 16)
#define SCB_CCR_INSTRUCTION_CACHE (1u << 17)
#define SCB_HFSR                  (*(volatile uint32_t *)0xE000ED2Cu)
#define SCB_HFSR_DEBUGEVT         (1u << 31)
#define SCB_CCSIDR                (*(volatile uint32_t *)0xE000ED80u)
#define SCB_CSSELR                (*(volatile uint32_t *)0xE000ED84u)
#define SCB_CPACR                 (*(volatile uint32_t *)0xE000ED88u)
#define SCB_CPACR_FPU_FULL        (0xFu << 20)
#define SCB_ICIALLU               (*(volatile uint32_t *)0xE000EF50u)
#define SCB_DCISW                 (*(volatile uint32_t *)0xE000EF60u)

#define STACKED_R0 0
#define STACKED_PC 6

/* From the linker script. */
extern uint32_t nn_stack_top[];
extern const uint32_t nn_data_load[];
extern uint32_t nn_data_begin[], nn_data_end[];
extern uint32_t nn_bss_begin[], nn_bss_end[];

int main(void);
void nn_port_exit(int code) __attribute__((noreturn));

void nn_reset(void);
void nn_fault(void);
void nn_fault_with_frame(uint32_t *frame);

static void synchronize(void)
{
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

#if NN_CORE_CACHES
static void enable_caches(void)
{
    synchronize();
    SCB_ICIALLU = 0;
    synchronize();
    SCB_CCR |= SCB_CCR_INSTRUCTION_CACHE;
    synchronize();

    SCB_CSSELR = 0; /* level 1 data cache */
    synchronize();
    const uint32_t sets = (SCB_CCSIDR >> 13) & 0x7FFFu; /* number of sets - 1 */
    const uint32_t ways = (SCB_CCSIDR >> 3) & 0x3FFu;   /* number of ways - 1 */
    for (uint32_t set = 0; set <= sets; set++) {
        for (uint32_t way = 0; way <= ways; way++) {
            SCB_DCISW = (set << 5) | (way << 30); /* 32-byte lines, 4 ways: Cortex-M7 */
        }
    }
    synchronize();
    SCB_CCR |= SCB_CCR_DATA_CACHE;
    synchronize();
}
#endif

void nn_reset(void)
{
    SCB_CPACR |= SCB_CPACR_FPU_FULL; /* before any instruction that might touch the FPU */
    synchronize();
#if NN_CORE_CACHES
    enable_caches();
#endif
    const uint32_t *from = nn_data_load;
    for (volatile uint32_t *to = nn_data_begin; to < nn_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = nn_bss_begin; to < nn_bss_end; to++) {
        *to = 0;
    }
    nn_port_exit(main());
}

/* A semihosting call with no debugger attached raises a debug event: step over it and answer -1, so
 * that the example also runs on a board that stands alone. Every other fault ends the program. */
__attribute__((used)) void nn_fault_with_frame(uint32_t *frame)
{
    if ((SCB_HFSR & SCB_HFSR_DEBUGEVT) != 0u) {
        SCB_HFSR = SCB_HFSR_DEBUGEVT;
        frame[STACKED_PC] += 2u;
        frame[STACKED_R0] = 0xFFFFFFFFu;
        return;
    }
    nn_port_exit(99);
}

__attribute__((naked)) void nn_fault(void)
{
    __asm__ volatile("mrs r0, msp\n\tb nn_fault_with_frame");
}

typedef void (*vector)(void);

/* Entry 0 is the initial stack pointer; entries 1..15 are the system exceptions. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack_top;
    vector handlers[15];
} vectors = {
    .stack_top = nn_stack_top,
    .handlers = {nn_reset, nn_fault, nn_fault, nn_fault, nn_fault, nn_fault, 0, 0, 0, 0, nn_fault, nn_fault,
                 0, nn_fault, nn_fault},
};
