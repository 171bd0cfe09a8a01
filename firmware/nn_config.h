/* nn_config.h - every compile-time option of the runtime. Override one with -DNAME=VALUE.
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

/* Whether the portable kernels are meant although the core has DSP instructions. With 0 compiling them there
 * is a warning, for it takes an include path that lacks firmware/kernels/dsp, or names it behind
 * firmware/kernels/portable, and costs most of the speed. Legal: 0 or 1. Default 0. */
#ifndef NN_PORTABLE_KERNELS
#define NN_PORTABLE_KERNELS 0
#endif
#if NN_PORTABLE_KERNELS != 0 && NN_PORTABLE_KERNELS != 1
#error "nn_config.h: NN_PORTABLE_KERNELS must be 0 or 1"
#endif

/* Whether the compiler's flags are of a core with DSP instructions. Not an option: see above. */
#ifdef __ARM_FEATURE_DSP
#define NN_CORE_HAS_DSP 1
#else
#define NN_CORE_HAS_DSP 0
#endif

/* Whether inner loops scheduled by hand are used where the core has them. They are inline assembly that only
 * gcc takes: clang, and with it Keil's armclang, has no flag outputs for Arm and fewer registers to give.
 * With 0 the same DSP instructions come from intrinsics, in the compiler's order: 1.2 to 1.3 times the
 * instructions (experiments/compilers/page.md; clang before 17 needs -munaligned-access for that). 0 also for
 * flags that take registers away, such as -fPIC or -ffixed-r9. Legal: 0 or 1. Default 1 with gcc, 0 with any
 * other compiler. */
#ifndef NN_SCHEDULED
#if defined(__GNUC__) && !defined(__clang__)
#define NN_SCHEDULED 1
#else
#define NN_SCHEDULED 0
#endif
#endif
#if NN_SCHEDULED != 0 && NN_SCHEDULED != 1
#error "nn_config.h: NN_SCHEDULED must be 0 or 1"
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

/* Whether the core has an FPU whose registers may hold what an inner loop needs once a tile; with 0 it waits
 * on the stack. Only scheduled loops ask (NN_SCHEDULED). An operating system that switches tasks must then
 * save FPU registers, as for any task that computes with floats. Legal: 0 or 1. Default: what the compiler's
 * flags say. */
#ifndef NN_HAS_FPU
#ifdef __ARM_FP
#define NN_HAS_FPU 1
#else
#define NN_HAS_FPU 0
#endif
#endif
#if NN_HAS_FPU != 0 && NN_HAS_FPU != 1
#error "nn_config.h: NN_HAS_FPU must be 0 or 1"
#endif

#endif
