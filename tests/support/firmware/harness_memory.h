/* harness_memory.h - memory of the test harness. SPDX-License-Identifier: Apache-2.0 */
#ifndef HARNESS_MEMORY_H
#define HARNESS_MEMORY_H

#include <stddef.h>

/* New memory, 8-byte aligned; ends the program if there is none. */
void *harness_allocate(size_t bytes);

/* Free everything allocated. */
void harness_release(void);

#endif
