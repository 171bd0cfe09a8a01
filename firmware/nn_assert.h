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
#define NN_STATIC_ASSERT(condition, text) extern char nn_assertion_holds[(condition) ? 1 : -1]
#endif

#endif
