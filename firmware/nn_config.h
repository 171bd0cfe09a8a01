/* nn_config.h - compile-time options of the runtime; those of its kernels are in nn_kernels.h. Override one
 * with -DNAME=VALUE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_CONFIG_H
#define NN_CONFIG_H

/* Whether nn_init compares the CRC-32 of the weight image with the one stored in the model.
 * Costs one pass over the weights at start-up (about 12 instructions a byte) and 64 bytes of table.
 * Nothing else looks at the image: kernels walk positions as they lie in flash. With 0, damage to streams
 * that are not coded makes nn_run read outside of the arena, give a wrong output and maybe fault; coded
 * streams are checked as they are decoded. 0 only where something else protects the image, such as a signed
 * update. Legal: 0 (no check) or 1. Default 1. */
#ifndef NN_CHECK_WEIGHTS
#define NN_CHECK_WEIGHTS 1
#endif
#if NN_CHECK_WEIGHTS != 0 && NN_CHECK_WEIGHTS != 1
#error "nn_config.h: NN_CHECK_WEIGHTS must be 0 or 1"
#endif

/* The most levels a model may have. A nested layer keeps one cursor (8 bytes) for each on the stack, which
 * NN_*_STACK_BYTES of a model.h counts at the default; fewer save stack, and a model.c that has more levels
 * does not compile. Legal: 1..16, more than 16 no model has. Default 16. */
#ifndef NN_MAX_LEVELS
#define NN_MAX_LEVELS 16
#endif
#if NN_MAX_LEVELS < 1 || NN_MAX_LEVELS > 16
#error "nn_config.h: NN_MAX_LEVELS must be 1..16"
#endif

/* Whether kernels are optimized in a build that otherwise is not (gcc -O0), so that a debug build keeps its
 * stack and its speed; other compilers only warn. With 0 a layer takes some 10 KB of stack there.
 * Legal: 0 or 1. Default 1. */
#ifndef NN_OPTIMIZE_KERNELS
#define NN_OPTIMIZE_KERNELS 1
#endif
#if NN_OPTIMIZE_KERNELS != 0 && NN_OPTIMIZE_KERNELS != 1
#error "nn_config.h: NN_OPTIMIZE_KERNELS must be 0 or 1"
#endif

#endif
