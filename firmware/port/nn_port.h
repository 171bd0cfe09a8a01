/* nn_port.h - what the test runner and the example need from the machine they run on.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The network itself needs nothing of this. Two implementations: nn_port_host.c (C library) and
 * nn_port_semihosting.c (Cortex-M, under QEMU or a debug probe).
 */
#ifndef NN_PORT_H
#define NN_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Open a file of the host computer, for reading or (truncated) for writing; returns a handle, or
 * -1 if that failed. */
int nn_port_open_read(const char *path);
int nn_port_open_write(const char *path);

/* Read or write exactly `bytes` bytes; returns 1, or 0 if fewer were transferred. */
int nn_port_read(int handle, void *data, size_t bytes);
int nn_port_write(int handle, const void *data, size_t bytes);

/* Close a handle; returns 1, or 0 if data could not be stored. */
int nn_port_close(int handle);

/* Print text, or a number in decimal, on the host's console. */
void nn_port_print(const char *text);
void nn_port_print_number(uint32_t number);

/* End the program with an exit code of 0..255. */
void nn_port_exit(int code) __attribute__((noreturn));

/* Start the cycle counter; returns 1, or 0 where there is none (host, emulator). */
int nn_port_cycles_start(void);

/* Cycles since some fixed moment, modulo 2^32; 0 where there is no counter. */
uint32_t nn_port_cycles(void);

/* Fill the unused stack with a pattern; later nn_port_stack_used() returns the bytes of stack in
 * use below the caller of nn_port_stack_paint() at their deepest. 0 where that is not known. */
void nn_port_stack_paint(void);
uint32_t nn_port_stack_used(void);

/* Empty functions around each measured inference; an emulator plugin counts the instructions
 * executed between the return of the first and the call of the second. */
void nn_mark_begin(void);
void nn_mark_end(void);

#endif
