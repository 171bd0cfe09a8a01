/* nn_kernels.h - which kernels are compiled. Override a choice with -DNAME=VALUE.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Three sets give the same bits: portable, C alone; dsp, with the DSP extension of Cortex-M4, M33 and above;
 * m7, the same instructions in the order that Cortex-M7 issues two at a time. A set lacks what it has no
 * better version of: m7 takes that from dsp, dsp from portable. No include path has a say in it.
 */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

/* Whether the compiler's flags are of a core with the DSP extension. Not an option. */
#ifdef __ARM_FEATURE_DSP
#define NN_CORE_HAS_DSP 1
#else
#define NN_CORE_HAS_DSP 0
#endif

/* Whether the instructions of core/simd are C functions, so that a machine without them can run the dsp
 * kernels: under a sanitizer on a computer, say. Legal: 0 or 1. Default 0. */
#ifndef NN_SIMD_IN_C
#define NN_SIMD_IN_C 0
#endif
#if NN_SIMD_IN_C != 0 && NN_SIMD_IN_C != 1
#error "nn_kernels.h: NN_SIMD_IN_C must be 0 or 1"
#endif

/* The set. No compiler says that a core is a Cortex-M7, so the model.c of a board that has one says it, by
 * NN_BOARD_KERNELS. Legal: portable, dsp or m7, the last two on a core with the DSP extension. Default:
 * portable without that extension, else NN_BOARD_KERNELS, else dsp. */
#ifndef NN_KERNELS
#if !NN_CORE_HAS_DSP
#define NN_KERNELS portable
#elif defined(NN_BOARD_KERNELS)
#define NN_KERNELS NN_BOARD_KERNELS
#else
#define NN_KERNELS dsp
#endif
#endif

/* 1, 2 or 3; 0 for a word that is none of them. */
#define NN_KERNELS_portable       1
#define NN_KERNELS_dsp            2
#define NN_KERNELS_m7             3
#define NN_KERNELS_NUMBER_OF(set) NN_KERNELS_##set
#define NN_KERNELS_NUMBER(set)    NN_KERNELS_NUMBER_OF(set)

#if NN_KERNELS_NUMBER(NN_KERNELS) == NN_KERNELS_portable
#define NN_KERNELS_USE_DSP 0
#define NN_KERNELS_USE_M7  0
#elif NN_KERNELS_NUMBER(NN_KERNELS) == NN_KERNELS_dsp
#define NN_KERNELS_USE_DSP 1
#define NN_KERNELS_USE_M7  0
#elif NN_KERNELS_NUMBER(NN_KERNELS) == NN_KERNELS_m7
#define NN_KERNELS_USE_DSP 1
#define NN_KERNELS_USE_M7  1
#else
#error "nn_kernels.h: NN_KERNELS must be portable, dsp or m7"
#endif
#if NN_KERNELS_USE_DSP && !NN_CORE_HAS_DSP && !NN_SIMD_IN_C
#error \
    "nn_kernels.h: NN_KERNELS is dsp or m7, but the compiler's flags are of a core without the DSP extension"
#endif

/* Whether inner loops scheduled by hand are used where a set has them. They are inline assembly that only
 * gcc takes: clang, and with it Keil's armclang, has no flag outputs for Arm and fewer registers to give.
 * With 0 the same DSP instructions come from intrinsics, in the compiler's order: 1.2 to 1.3 times the
 * instructions (experiments/compilers/page.md; clang before 17 needs -munaligned-access for that). 0 also for
 * flags that take registers away, such as -fPIC or -ffixed-r9. Legal: 0 or 1, with 1 only for dsp and m7 on
 * a core that has the instructions. Default 1 for those with gcc, 0 with any other compiler. */
#ifndef NN_SCHEDULED
#if NN_KERNELS_USE_DSP && !NN_SIMD_IN_C && defined(__GNUC__) && !defined(__clang__)
#define NN_SCHEDULED 1
#else
#define NN_SCHEDULED 0
#endif
#endif
#if NN_SCHEDULED != 0 && NN_SCHEDULED != 1
#error "nn_kernels.h: NN_SCHEDULED must be 0 or 1"
#endif
#if NN_SCHEDULED && (!NN_KERNELS_USE_DSP || NN_SIMD_IN_C)
#error "nn_kernels.h: NN_SCHEDULED=1 needs the dsp or m7 kernels and a core with their instructions"
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
#error "nn_kernels.h: NN_HAS_FPU must be 0 or 1"
#endif

#endif
