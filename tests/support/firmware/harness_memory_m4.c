/* harness_memory_m4.c - memory for the emulated core: a static block handed out from the front.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "harness_memory.h"
#include "nn_port.h"

#include <stdint.h>

static uint64_t memory[(1u << 20) / sizeof(uint64_t)];
static size_t used_words;

void *harness_allocate(size_t bytes)
{
    const size_t words = (bytes + sizeof memory[0] - 1u) / sizeof memory[0];
    if (words > sizeof memory / sizeof memory[0] - used_words) {
        nn_port_exit(6);
    }
    used_words += words;
    return &memory[used_words - words];
}

void harness_release(void)
{
    used_words = 0;
}
