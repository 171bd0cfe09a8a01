/* nn_deltas.h - decoder of positions stored as gaps in codes of a fixed width.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DELTAS_H
#define NN_DELTAS_H

#include <stdint.h>

/* Decode one level's position stream: stored_bytes bytes at stored describe which of rows * count groups the
 * level adds; docs/format.md, "deltas". Writes exactly out_bytes position bytes to out, as "Position byte"
 * there prescribes. group: 1, 2 or 4. rows and count are at least 1, their product is below 2^31;
 * stored_bytes is below 2^23. No alignment is needed; the areas must not overlap. Whatever the block holds,
 * nothing outside it is read and nothing outside the output is written. Returns 1, or 0 if the block is
 * damaged: its width is unknown, it goes on after the last group, or describes a group outside the map or
 * another number of position bytes. The output is then unspecified. */
int nn_deltas_decode(const uint8_t *stored, uint32_t stored_bytes, uint32_t rows, uint32_t count,
                     uint32_t group, uint8_t *out, uint32_t out_bytes);

#endif
