/* nn_crc32.h - checksum of the weight image.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_CRC32_H
#define NN_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* IEEE 802.3 CRC-32 (reflected, polynomial 0xEDB88320) of count bytes; 0 for count 0.
 * bytes may be unaligned, and NULL only if count is 0. Equals zlib's crc32(0, bytes, count). */
uint32_t nn_crc32(const void *bytes, size_t count);

#endif
