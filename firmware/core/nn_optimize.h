/* nn_optimize.h - how gcc is to compile kernels; the first include of every file that uses some.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Kernels need optimization to become loops with literal extents, and the widest of their scheduled loops
 * need the register that a frame pointer would take. What a project asks of the rest of its program (-O0 for
 * a debugger, -fno-omit-frame-pointer for a profiler) would make a layer 20 times as slow, 30 times as large
 * and let it use kilobytes of stack. The pragma lasts to the end of the file.
 */
#ifndef NN_OPTIMIZE_H
#define NN_OPTIMIZE_H

#include "../nn_config.h"

#if defined(__GNUC__) && !defined(__clang__)
#if NN_OPTIMIZE_KERNELS && !defined(__OPTIMIZE__)
#pragma GCC optimize("O3")
#endif
#pragma GCC optimize("omit-frame-pointer")
#if !__STDC_HOSTED__ /* which the pragmas make gcc forget: there is no memset to turn loops into */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif
#elif NN_OPTIMIZE_KERNELS && defined(__clang__) && !defined(__OPTIMIZE__)
#warning "nestnet kernels without optimization take some 10 KB of stack: give this file at least -O1"
#endif

/* Whether the core multiplies to 64 bits by itself. Where it does not, products are made of halves: the same
 * bits, and a third of the instructions that calls of a function for each product take. */
#ifndef NN_LONG_PRODUCTS
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define NN_LONG_PRODUCTS 0
#else
#define NN_LONG_PRODUCTS 1
#endif
#endif

#endif
