/* harness_memory_host.c - one malloc per buffer, so that AddressSanitizer guards each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "harness_memory.h"

#include <stdlib.h>

#define BLOCKS_MAX 64

static void *blocks[BLOCKS_MAX];
static size_t block_count;

void *harness_allocate(size_t bytes)
{
    void *block = block_count < BLOCKS_MAX ? malloc(bytes) : NULL;
    if (block == NULL) {
        abort();
    }
    blocks[block_count++] = block;
    return block;
}

void harness_release(void)
{
    while (block_count > 0) {
        free(blocks[--block_count]);
    }
}
