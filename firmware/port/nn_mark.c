/* nn_mark.c - the markers of a measured region, in a file of their own so that they stay calls.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_port.h"

void nn_mark_begin(void)
{
    __asm__ volatile("" ::: "memory");
}

void nn_mark_end(void)
{
    __asm__ volatile("" ::: "memory");
}
