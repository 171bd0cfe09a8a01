/* nn_mark.c - the markers of a measured region, in a file of their own so that they stay calls;
 * the attributes keep them when the whole program is optimized at link time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_port.h"

#define MARK __attribute__((noinline, used)) void

MARK nn_mark_begin(void)
{
    __asm__ volatile("" ::: "memory");
}

MARK nn_mark_end(void)
{
    __asm__ volatile("" ::: "memory");
}
