/* nn_port_semihosting.c - the port to a Cortex-M under an emulator or a debug probe.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Source: Arm, Semihosting for AArch32 and AArch64 (operation numbers and parameter blocks);
 * ARMv7-M Architecture Reference Manual C1.8 (DWT cycle counter).
 */
#include "nn_port.h"

#define SYS_OPEN          0x01u
#define SYS_CLOSE         0x02u
#define SYS_WRITE0        0x04u
#define SYS_WRITE         0x05u
#define SYS_READ          0x06u
#define SYS_EXIT_EXTENDED 0x20u

#define OPEN_READ_BINARY         1u
#define OPEN_WRITE_BINARY        5u
#define STOPPED_APPLICATION_EXIT 0x20026u

#define DEMCR              (*(volatile uint32_t *)0xE000EDFCu)
#define DEMCR_TRCENA       (1u << 24)
#define DWT_CTRL           (*(volatile uint32_t *)0xE0001000u)
#define DWT_CTRL_CYCCNTENA 1u
#define DWT_CYCCNT         (*(volatile uint32_t *)0xE0001004u)
#define DWT_LAR            (*(volatile uint32_t *)0xE0001FB0u)
#define DWT_LAR_KEY        0xC5ACCE55u

#define STACK_PATTERN 0x5AFEC0DEu

extern uint32_t nn_stack_limit[]; /* lowest word of the stack, from the linker script */

static uint32_t *painted_top;

static int call(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int)r0;
}

static int open_file(const char *path, uint32_t mode)
{
    uint32_t length = 0;
    while (path[length] != '\0') {
        length++;
    }
    const uint32_t block[3] = {(uint32_t)path, mode, length};
    return call(SYS_OPEN, block);
}

int nn_port_open_read(const char *path)
{
    return open_file(path, OPEN_READ_BINARY);
}

int nn_port_open_write(const char *path)
{
    return open_file(path, OPEN_WRITE_BINARY);
}

/* Both calls return the number of bytes that were not transferred. */
int nn_port_read(int handle, void *data, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)handle, (uint32_t)data, bytes};
    return call(SYS_READ, block) == 0;
}

int nn_port_write(int handle, const void *data, size_t bytes)
{
    const uint32_t block[3] = {(uint32_t)handle, (uint32_t)data, bytes};
    return call(SYS_WRITE, block) == 0;
}

int nn_port_close(int handle)
{
    const uint32_t block[1] = {(uint32_t)handle};
    return call(SYS_CLOSE, block) == 0;
}

void nn_port_print(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

void nn_port_print_number(uint32_t number)
{
    char text[11];
    unsigned first = sizeof text - 1u;
    text[first] = '\0';
    do {
        first--;
        text[first] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0u);
    nn_port_print(&text[first]);
}

void nn_port_exit(int code)
{
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)code};
    (void)call(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

/* Armv6-M and the Armv8-M baseline have no cycle counter. */
int nn_port_cycles_start(void)
{
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    return 0;
#else
    DEMCR |= DEMCR_TRCENA;
    DWT_LAR = DWT_LAR_KEY; /* needed on Cortex-M7, ignored on Cortex-M4 */
    DWT_CYCCNT = 0;
    DWT_CTRL |= DWT_CTRL_CYCCNTENA;
    const uint32_t start = DWT_CYCCNT;
    for (volatile int wait = 0; wait < 16; wait++) {
    }
    return DWT_CYCCNT != start; /* the emulator has the register, but it stands still */
#endif
}

uint32_t nn_port_cycles(void)
{
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
    return 0;
#else
    return DWT_CYCCNT;
#endif
}

/* Leave the frame of this function, and a margin for what the compiler spills, untouched. */
__attribute__((noinline)) void nn_port_stack_paint(void)
{
    uint32_t *const top = (uint32_t *)__builtin_frame_address(0) - 16;
    painted_top = top;
    for (volatile uint32_t *word = nn_stack_limit; word < top; word++) {
        *word = STACK_PATTERN;
    }
}

uint32_t nn_port_stack_used(void)
{
    const volatile uint32_t *word = nn_stack_limit;
    while (word < painted_top && *word == STACK_PATTERN) {
        word++;
    }
    return (uint32_t)((const volatile char *)painted_top - (const volatile char *)word) +
           16u * sizeof(uint32_t);
}
