/* nn_lz4.h - decoder of one LZ4 block.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_LZ4_H
#define NN_LZ4_H

#include <stdint.h>

/* Decode the LZ4 block of stored_bytes bytes at stored to exactly out_bytes bytes at out; docs/format.md,
 * "lz4". No alignment is needed; the areas must not overlap. Whatever the block holds, nothing outside it is
 * read and nothing outside the output is written. Returns 1, or 0 if the block is damaged: it ends early or
 * goes on, decodes to another size, copies from before the output, or breaks the format's rules for a block's
 * end. The output is then unspecified. */
int nn_lz4_decode(const uint8_t *stored, uint32_t stored_bytes, uint8_t *out, uint32_t out_bytes);

#endif
