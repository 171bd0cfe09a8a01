/* nn_config.h - every compile-time option of the runtime. Override one with -DNAME=VALUE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_CONFIG_H
#define NN_CONFIG_H

/* Whether nn_init compares the CRC-32 of the weight image with the one stored in the model.
 * Costs one pass over the weights at start-up (about 12 instructions a byte) and 64 bytes of table.
 * Legal: 0 (no check) or 1. Default 1. */
#ifndef NN_CHECK_WEIGHTS
#define NN_CHECK_WEIGHTS 1
#endif
#if NN_CHECK_WEIGHTS != 0 && NN_CHECK_WEIGHTS != 1
#error "nn_config.h: NN_CHECK_WEIGHTS must be 0 or 1"
#endif

/* The most levels a model may have. A nested layer keeps one cursor (8 bytes) per level on the stack, and one
 * with coded streams two pointers (8 bytes) more for each level the model has.
 * Legal: 1..255. Default 16. */
#ifndef NN_MAX_LEVELS
#define NN_MAX_LEVELS 16
#endif
#if NN_MAX_LEVELS < 1 || NN_MAX_LEVELS > 255
#error "nn_config.h: NN_MAX_LEVELS must be 1..255"
#endif

/* Whether the code is compiled with a frame pointer (-fno-omit-frame-pointer). The widest nested tiles need
 * the register it takes; with 1 they run as compiled C, with about half as many instructions again. Legal: 0
 * or 1. Default 0. */
#ifndef NN_FRAME_POINTER
#define NN_FRAME_POINTER 0
#endif
#if NN_FRAME_POINTER != 0 && NN_FRAME_POINTER != 1
#error "nn_config.h: NN_FRAME_POINTER must be 0 or 1"
#endif

/* Whether the core has an FPU whose registers may hold what an inner loop needs once a tile; with 0 it waits
 * on the stack. Only the DSP kernels ask. Legal: 0 or 1. Default 1, as on every shipped board. */
#ifndef NN_HAS_FPU
#define NN_HAS_FPU 1
#endif
#if NN_HAS_FPU != 0 && NN_HAS_FPU != 1
#error "nn_config.h: NN_HAS_FPU must be 0 or 1"
#endif

#endif
