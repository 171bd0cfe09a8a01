/* nn_startup.c - reset code for Cortex-M: vector table, FPU, caches, memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The clock stays as reset leaves it. Interrupts are never enabled, so the table ends with the
 * system exceptions. Compile with -DNN_CORE_CACHES=1 for a core with L1 caches.
 * Source: ARMv7-M Architecture Reference Manual B1.5 (exceptions), B2.2 (caches), B3.2 (registers);
 * ARMv6-M Architecture Reference Manual B1.5; Armv8-M Architecture Reference Manual B3 (EXC_RETURN.FType).
 */
#include <stdint.h>

#ifndef NN_CORE_CACHES
#define NN_CORE_CACHES 0 /* 0 or 1 */
#endif

#define SCB_CCR                   (*(volatile uint32_t *)0xE000ED14u)
#define SCB_CCR_DATA_CACHE        (1u << 16)
#define SCB_CCR_INSTRUCTION_CACHE (1u << 17)
#define SCB_CCSIDR                (*(volatile uint32_t *)0xE000ED80u)
#define SCB_CSSELR                (*(volatile uint32_t *)0xE000ED84u)
#define SCB_CPACR                 (*(volatile uint32_t *)0xE000ED88u)
#define SCB_CPACR_FPU_FULL        (0xFu << 20)
#define SCB_ICIALLU               (*(volatile uint32_t *)0xE000EF50u)
#define SCB_DCISW                 (*(volatile uint32_t *)0xE000EF60u)

/* Words of an exception's frame. */
#define STACKED_R0   0
#define STACKED_PC   6
#define STACKED_XPSR 7
#define FRAME_WORDS  8
#define XPSR_THUMB   (1u << 24)

#define SEMIHOSTING_CALL 0xBEABu /* bkpt 0xAB */
#define EXIT_FAULT       99

/* From the linker script. */
extern uint32_t nn_stack_top[];
extern const uint32_t nn_data_load[];
extern uint32_t nn_data_begin[], nn_data_end[];
extern uint32_t nn_bss_begin[], nn_bss_end[];
/* Pairs of an address and bits to set there, where memory has to be switched on. */
extern const uint32_t nn_enable_begin[] __attribute__((weak)), nn_enable_end[] __attribute__((weak));

int main(void);
void nn_port_exit(int code) __attribute__((noreturn));

void nn_reset(void);
void nn_fault(void);
void nn_fault_with_frame(uint32_t *frame, uint32_t overflown);

#if NN_CORE_CACHES || defined(__ARM_FP)
static void synchronize(void)
{
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}
#endif

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
#ifdef __ARM_FP
    SCB_CPACR |= SCB_CPACR_FPU_FULL; /* before any instruction that might touch the FPU */
    synchronize();
#endif
    for (const uint32_t *pair = nn_enable_begin; pair < nn_enable_end; pair += 2) {
        volatile uint32_t *const word = (volatile uint32_t *)(uintptr_t)pair[0];
        *word |= pair[1];
        (void)*word; /* the clock runs when the write has arrived */
    }
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

typedef struct {
    uint32_t *stack_top;
    void (*handlers[15])(void);
} nn_vectors;

static const nn_vectors vectors;

static void end_after_fault(void)
{
    nn_port_exit(EXIT_FAULT);
}

/* A semihosting call with no debugger attached is a fault: step over it and answer -1, so that the example
 * also runs on a board that stands alone. After any other fault, return to end_after_fault instead of to the
 * program: there a debugger or emulator hears of it, and without one nn_port_exit loops. In here its
 * breakpoint would lock the core up. overflown: the frame is not the program's. */
__attribute__((used)) void nn_fault_with_frame(uint32_t *frame, uint32_t overflown)
{
    const uint16_t *const at = (const uint16_t *)(uintptr_t)frame[STACKED_PC];
    const int is_code =
        (const void *)at > (const void *)&vectors && (const void *)at < (const void *)nn_data_load;
    if (overflown == 0u && is_code && *at == SEMIHOSTING_CALL) {
        frame[STACKED_PC] += 2u;
        frame[STACKED_R0] = 0xFFFFFFFFu;
        return;
    }
    frame[STACKED_PC] = (uint32_t)end_after_fault & ~1u;
    frame[STACKED_XPSR] = XPSR_THUMB;
}

/* Where the stack has overflown, the frame could not be stored and there is no stack to work on: start the
 * stack again, with a frame without FPU registers on it. Instructions every Cortex-M has. */
__attribute__((naked)) void nn_fault(void)
{
    __asm__ volatile(".syntax unified\n\t"
                     "mrs     r0, msp\n\t"
                     "movs    r1, #0\n\t"
                     "ldr     r2, =nn_stack_limit\n\t"
                     "cmp     r0, r2\n\t"
                     "bhs     1f\n\t"
                     "ldr     r0, =nn_stack_top - %c[frame]\n\t"
                     "mov     sp, r0\n\t"
                     "movs    r1, #0x10\n\t"
                     "mov     r2, lr\n\t"
                     "orrs    r2, r1\n\t"
                     "mov     lr, r2\n\t"
                     "1:\n\t"
                     "ldr     r2, =nn_fault_with_frame\n\t"
                     "bx      r2\n\t"
                     ".ltorg" ::[frame] "i"(FRAME_WORDS * sizeof(uint32_t)));
}

/* Entry 0 is the initial stack pointer; entries 1..15 are the system exceptions. */
__attribute__((section(".vectors"), used)) static const nn_vectors vectors = {
    .stack_top = nn_stack_top,
    .handlers = {nn_reset, nn_fault, nn_fault, nn_fault, nn_fault, nn_fault, 0, 0, 0, 0, nn_fault, nn_fault,
                 0, nn_fault, nn_fault},
};
