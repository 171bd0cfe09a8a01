/* decode_harness.c - run the decoders of coded streams on data from a file: the C side of decoders.py.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * requests.bin holds requests: a header, then the stored bytes. Buffers have exactly the sizes a decoder is
 * told, so that a sanitizer sees every access outside of them; elsewhere the bytes around the output are
 * checked. The answers go to answers.bin: the result and the output of a decoder, or what came of all damaged
 * versions of a block.
 */
#include "harness_memory.h"
#include "core/nn_crc32.h"
#include "codecs/nn_decode.h"
#include "codecs/nn_lz4.h"
#include "nn_port.h"
#include "codecs/nn_deltas.h"

#include <string.h>

#define GUARD_BYTES 8u
#define GUARD       0xA5u

enum { LZ4, DELTAS, CHECK };
enum { ONCE, DAMAGE };

typedef struct {
    uint32_t codec;
    uint32_t mode;
    uint32_t rows;
    uint32_t count;
    uint32_t group;
    uint32_t misalign_bytes; /* of what is stored and of the output */
    uint32_t step;           /* mode DAMAGE: every how manieth value a byte is changed to */
    uint32_t stored_bytes;
    uint32_t out_bytes;
} request;

typedef struct {
    uint32_t tried;
    uint32_t accepted;
    uint32_t digest; /* of the results, and of the outputs of accepted versions */
} damage_answer;

static uint32_t decode(const request *r, const uint8_t *stored, uint32_t stored_bytes, uint8_t *out)
{
    const nn_patch_groups groups = {.rows = r->rows, .count = r->count, .group = r->group};
    switch (r->codec) {
    case LZ4:
        return (uint32_t)nn_lz4_decode(stored, stored_bytes, out, r->out_bytes);
    case DELTAS:
        return (uint32_t)nn_deltas_decode(stored, stored_bytes, r->rows, r->count, r->group, out,
                                          r->out_bytes);
    default:
        return (uint32_t)nn_check_positions(stored, stored_bytes, &groups);
    }
}

static uint8_t *guarded(const request *r)
{
    uint8_t *const block = harness_allocate(2u * GUARD_BYTES + r->misalign_bytes + r->out_bytes);
    memset(block, GUARD, 2u * GUARD_BYTES + r->misalign_bytes + r->out_bytes);
    return block + GUARD_BYTES + r->misalign_bytes;
}

static void check_guards(const request *r, const uint8_t *out)
{
    for (uint32_t i = 0; i < GUARD_BYTES; i++) {
        if (out[r->out_bytes + i] != GUARD || out[-1 - (int32_t)i] != GUARD) {
            nn_port_exit(7);
        }
    }
}

/* Decode a copy of what is stored, in memory of its exact size, into memory of the exact size. */
static void decode_copy(const request *r, const uint8_t *stored, uint32_t stored_bytes, damage_answer *answer)
{
    uint8_t *const copy = harness_allocate(stored_bytes);
    uint8_t *const out = harness_allocate(r->out_bytes);
    memcpy(copy, stored, stored_bytes);
    memset(out, 0, r->out_bytes);
    uint32_t result = decode(r, copy, stored_bytes, out);
    answer->tried++;
    answer->accepted += result;
    if (result) {
        result = nn_crc32(out, r->out_bytes);
        if (r->codec == DELTAS) { /* what is accepted is fit for kernels */
            const nn_patch_groups groups = {.rows = r->rows, .count = r->count, .group = r->group};
            if (!nn_check_positions(out, r->out_bytes, &groups)) {
                nn_port_exit(8);
            }
        }
    }
    answer->digest = answer->digest * 31u + result;
    harness_release();
}

/* Every truncation, and every byte changed to every step-th other value. */
static void damage(const request *r, uint8_t *stored, int output)
{
    damage_answer answer = {0, 0, 0};
    for (uint32_t bytes = 0; bytes < r->stored_bytes; bytes++) {
        decode_copy(r, stored, bytes, &answer);
    }
    for (uint32_t at = 0; at < r->stored_bytes; at++) {
        for (uint32_t change = 1u + at % r->step; change < 256u; change += r->step) {
            stored[at] ^= (uint8_t)change;
            decode_copy(r, stored, r->stored_bytes, &answer);
            stored[at] ^= (uint8_t)change;
        }
    }
    if (!nn_port_write(output, &answer, sizeof answer)) {
        nn_port_exit(4);
    }
}

static void once(const request *r, const uint8_t *stored, int output)
{
    uint8_t *const copy =
        (uint8_t *)harness_allocate(r->stored_bytes + r->misalign_bytes) + r->misalign_bytes;
    memcpy(copy, stored, r->stored_bytes);
    uint8_t *const out = guarded(r);
    nn_mark_begin();
    uint32_t result = decode(r, copy, r->stored_bytes, out);
    nn_mark_end();
    check_guards(r, out);
    uint8_t *const exact = harness_allocate(r->out_bytes);
    if (decode(r, copy, r->stored_bytes, exact) != result ||
        (result && r->codec != CHECK && memcmp(exact, out, r->out_bytes) != 0)) {
        nn_port_exit(9);
    }
    if (!nn_port_write(output, &result, sizeof result) || !nn_port_write(output, out, r->out_bytes)) {
        nn_port_exit(4);
    }
    harness_release();
}

static uint8_t stored[1u << 16];

int main(void)
{
    const int input = nn_port_open_read("requests.bin");
    const int output = nn_port_open_write("answers.bin");
    request r;
    if (input < 0 || output < 0) {
        return 2;
    }
    while (nn_port_read(input, &r, sizeof r)) {
        if (r.stored_bytes > sizeof stored || !nn_port_read(input, stored, r.stored_bytes)) {
            return 3;
        }
        if (r.mode == DAMAGE) {
            damage(&r, stored, output);
        } else {
            once(&r, stored, output);
        }
    }
    return nn_port_close(output) ? 0 : 5;
}
