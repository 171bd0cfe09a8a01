/* nn_crc32.c - CRC-32 by nibbles: a 64-byte table and two look-ups a byte.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_crc32.h"

/* Entry i is the CRC of the 4-bit value i. check: entry[i] = i shifted right 4 times by polynomial division
 */
static const uint32_t nibble_crc[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
    0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

uint32_t nn_crc32(const void *bytes, size_t count)
{
    const uint8_t *byte = bytes;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < count; i++) {
        crc ^= byte[i];
        crc = (crc >> 4) ^ nibble_crc[crc & 15u];
        crc = (crc >> 4) ^ nibble_crc[crc & 15u];
    }
    return ~crc;
}
