/* nn_lz4.c - decoder of one LZ4 block; contract in nn_lz4.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Copies go by words, so they may read and write up to 3 bytes too many. The format's rules for a block's end
 * leave room for that: literals that are not the last are followed by an offset, a token and 5 literals at
 * least, a match by 5 literals. The bytes written too many belong to what is decoded next.
 */
#include "nn_lz4.h"

#include <stddef.h>

#define TOKEN_MAX      15u /* a length of 15 in the token goes on in the bytes after it */
#define MATCH_MIN      4u
#define LAST_LITERALS  5u  /* at a block's end, at least */
#define LAST_MATCH     12u /* from a match's begin to the block's end, at least */
#define SEQUENCE_BYTES (2u + 1u + LAST_LITERALS)

/* bytes bytes, rounded up to a multiple of 4 and at least 4, from from to to, which is before from or at
 * least 4 bytes after it. */
static inline void copy_words(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    uint8_t *const end = to + bytes;
    do {
        uint32_t word;
        __builtin_memcpy(&word, from, sizeof word);
        __builtin_memcpy(to, &word, sizeof word);
        from += sizeof word;
        to += sizeof word;
    } while (to < end);
}

/* Add the bytes that prolong a length; returns where they end, or NULL if that is not before end or the sum
 * is above limit. */
static inline const uint8_t *prolong(uint32_t *length, const uint8_t *in, const uint8_t *end, uint32_t limit)
{
    uint32_t byte;
    do {
        if (in == end || *length > limit) {
            return NULL;
        }
        byte = *in++;
        *length += byte;
    } while (byte == 255u);
    return in;
}

int nn_lz4_decode(const uint8_t *stored, uint32_t stored_bytes, uint8_t *out, uint32_t out_bytes)
{
    const uint8_t *in = stored;
    const uint8_t *const in_end = stored + stored_bytes;
    uint8_t *const begin = out;
    uint8_t *const end = out + out_bytes;

    while (in != in_end) {
        const uint32_t token = *in++;
        uint32_t length = token >> 4;
        if (length == TOKEN_MAX) {
            in = prolong(&length, in, in_end, out_bytes);
            if (in == NULL) {
                return 0;
            }
        }
        if ((size_t)(in_end - in) < (size_t)length + SEQUENCE_BYTES) { /* the last sequence */
            if ((size_t)(in_end - in) != length || (size_t)(end - out) != length) {
                return 0;
            }
            while (in != in_end) {
                *out++ = *in++;
            }
            return 1;
        }
        if ((size_t)(end - out) < (size_t)length + LAST_MATCH) {
            return 0;
        }
        copy_words(out, in, length);
        in += length;
        out += length;

        const uint32_t offset = in[0] | (uint32_t)in[1] << 8;
        in += 2;
        if (offset - 1u >= (size_t)(out - begin)) { /* 0, or before the output */
            return 0;
        }
        length = token & TOKEN_MAX;
        if (length == TOKEN_MAX) {
            in = prolong(&length, in, in_end, out_bytes);
            if (in == NULL) {
                return 0;
            }
        }
        length += MATCH_MIN;
        if ((size_t)(end - out) < (size_t)length + LAST_LITERALS) {
            return 0;
        }
        const uint8_t *from = out - offset;
        uint8_t *const match_end = out + length;
        if (offset < 4u) {
            /* Byte by byte, until the period's smallest multiple that is at least 4 has been written. */
            out[0] = from[0];
            out[1] = from[1];
            out[2] = from[2];
            out[3] = from[3];
            from += 4u - (2u | (offset & 1u));
            out += 4;
            if (length > 4u) {
                copy_words(out, from, length - 4u);
            }
        } else {
            copy_words(out, from, length);
        }
        out = match_end;
    }
    return 0;
}
