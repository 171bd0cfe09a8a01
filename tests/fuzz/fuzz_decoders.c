/* fuzz_decoders.c - libFuzzer target: the decoders of coded streams on any bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * An input is a header of 8 bytes and a block: which decoder, the group size, the output's bytes (2), rows,
 * count (2), misalignment. Buffers have the exact sizes, for AddressSanitizer. Every result is compared with
 * a second decoder, written from docs/format.md as plainly as possible, and accepted positions are walked as
 * a kernel does.
 */
#include "codecs/nn_decode.h"
#include "codecs/nn_deltas.h"
#include "codecs/nn_lz4.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 8u

typedef struct {
    const uint8_t *in;
    size_t bytes;
    size_t place;
} source;

typedef struct {
    uint8_t *out;
    size_t bytes;
    size_t place;
} target;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int put(target *t, uint8_t byte)
{
    if (t->place == t->bytes) {
        return 0;
    }
    t->out[t->place++] = byte;
    return 1;
}

/* A length of an LZ4 sequence whose token gives `first`; -1 if the block ends. */
static long plain_length(source *s, long first)
{
    long length = first, byte = first == 15 ? 255 : 0;
    while (byte == 255) {
        if (s->place == s->bytes) {
            return -1;
        }
        byte = s->in[s->place++];
        length += byte;
    }
    return length;
}

static int plain_lz4(source s, target t)
{
    while (s.place < s.bytes) {
        const long token = s.in[s.place++];
        for (long n = plain_length(&s, token >> 4); n != 0; n--) {
            if (n < 0 || s.place == s.bytes || !put(&t, s.in[s.place++])) {
                return 0;
            }
        }
        if (s.place == s.bytes) {
            return t.place == t.bytes;
        }
        if (s.bytes - s.place < 2 || t.bytes - t.place < 12) {
            return 0;
        }
        const size_t offset = s.in[s.place] + 256u * s.in[s.place + 1];
        s.place += 2;
        const long match = plain_length(&s, token & 15);
        if (match < 0 || offset == 0 || offset > t.place || t.bytes - t.place < (size_t)match + 4 + 5) {
            return 0;
        }
        for (long n = 0; n < match + 4; n++) {
            if (!put(&t, t.out[t.place - offset])) {
                return 0;
            }
        }
    }
    return 0;
}

/* Set present[0 .. groups - 1] from the codes; 0 if they are damaged. */
static int plain_map(source s, uint8_t *present, size_t groups)
{
    if (s.bytes == 0 || s.in[0] < 1 || s.in[0] > 7) {
        return 0;
    }
    const unsigned width = s.in[0];
    const size_t bits = 8 * s.bytes;
    size_t used = 8;  /* up to the last group's code */
    size_t after = 0; /* the last place that is named or skipped, plus 1 */
    for (size_t bit = 8; bits - bit >= width; bit += width) {
        unsigned code = 0;
        for (size_t i = width; i-- > 0;) {
            code = 2 * code + (s.in[(bit + i) / 8] >> (bit + i) % 8 & 1u);
        }
        after += code != 0 ? code : (1u << width) - 1;
        if (code != 0) {
            if (after > groups) {
                return 0;
            }
            present[after - 1] = 1;
            used = bit + width;
        }
    }
    for (size_t bit = used; bit < bits; bit++) {
        if (s.in[bit / 8] >> bit % 8 & 1) {
            return 0;
        }
    }
    return bits - used < 8;
}

static int plain_deltas(source s, target t, const nn_patch_groups *g)
{
    uint8_t *const present = calloc(g->rows, g->count);
    int done = plain_map(s, present, (size_t)g->rows * g->count);
    for (uint32_t row = 0; done && row < g->rows; row++) {
        const size_t begin = t.place;
        uint32_t position = 0;
        for (uint32_t i = 0; done && i < g->count; i++) {
            if (present[row * g->count + i]) {
                for (; done && i - position > 127; position += 127) {
                    done = put(&t, 127);
                }
                done = done && put(&t, (uint8_t)(i - position));
                position = i;
            }
        }
        while (done && (t.place == begin || (g->group == 2 && (t.place - begin) % 2))) {
            done = put(&t, 0);
        }
        if (done) {
            t.out[t.place - 1] |= 0x80;
        }
    }
    free(present);
    return done && t.place == t.bytes;
}

/* Walk positions as a kernel does, which trusts them. */
static void walk(const uint8_t *positions, size_t bytes, const nn_patch_groups *g)
{
    uint8_t *const patch = calloc(g->count, 1);
    const uint8_t *p = positions;
    for (uint32_t row = 0; row < g->rows; row++) {
        uint32_t at = 0;
        uint8_t byte;
        do {
            for (uint32_t i = 0; i < (g->group == 2 ? 2u : 1u); i++) {
                byte = *p++;
                at += byte & 127u;
                if (patch[at] != 0) {
                    abort();
                }
            }
        } while (!(byte & 0x80));
    }
    if (p != positions + bytes) {
        abort();
    }
    free(patch);
}

static void decode(int is_deltas, source s, const nn_patch_groups *g, uint32_t out_bytes)
{
    uint8_t *const out = malloc(out_bytes + (out_bytes == 0)), *const plain = malloc(out_bytes + 1);
    const target t = {plain, out_bytes, 0};
    const int got =
        is_deltas ? nn_deltas_decode(s.in, (uint32_t)s.bytes, g->rows, g->count, g->group, out, out_bytes)
                  : nn_lz4_decode(s.in, (uint32_t)s.bytes, out, out_bytes);
    const int expected = is_deltas ? plain_deltas(s, t, g) : plain_lz4(s, t);
    if (got != expected || (got && memcmp(out, plain, out_bytes) != 0)) {
        abort();
    }
    if (got && out_bytes > 0) {
        const int fits = nn_check_positions(out, out_bytes, g);
        if (is_deltas && !fits) {
            abort();
        }
        if (fits) {
            walk(out, out_bytes, g);
        }
    }
    free(out);
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER_BYTES) {
        return 0;
    }
    const nn_patch_groups groups = {
        .rows = 1u + data[4] % 32u,
        .count = 1u + (data[5] + 256u * data[6]) % 600u,
        .group = 1u << data[1] % 3u,
    };
    const uint32_t out_bytes = (data[2] + 256u * data[3]) % 4096u;
    const size_t misalign = data[7] % 4u, bytes = size - HEADER_BYTES;
    uint8_t *const block = malloc(misalign + bytes + 1u), *const stored = block + misalign + 1u;
    memcpy(stored, data + HEADER_BYTES, bytes);
    const source s = {stored, bytes, 0};
    if (data[0] % 3u == 2u) {
        if (bytes > 0 && nn_check_positions(stored, (uint32_t)bytes, &groups)) {
            walk(stored, bytes, &groups);
        }
    } else {
        decode(data[0] % 3u == 1u, s, &groups, out_bytes);
    }
    free(block);
    return 0;
}
