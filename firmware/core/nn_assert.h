/* nn_assert.h - conditions a compiler checks, in C11 and in C99.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_ASSERT_H
#define NN_ASSERT_H

/* NN_STATIC_ASSERT(condition, "what it says"): outside of functions; does not compile unless condition. */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define NN_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#else
#define NN_STATIC_ASSERT(condition, text)  NN_ASSERTION(condition, __COUNTER__)
#define NN_ASSERTION(condition, number)    NN_ASSERTION_OF(condition, number)
#define NN_ASSERTION_OF(condition, number) extern char nn_assertion_##number[(condition) ? 1 : -1]
#endif

#endif
