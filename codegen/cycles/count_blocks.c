/* count_blocks.c - QEMU TCG plugin: exact instruction counts between two marker functions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loaded into QEMU 7.2 and later (plugin API version 1). The declarations below stand for
 * qemu-plugin.h, which Linux distributions do not package.
 *
 * Arguments: begin=ADDRESS,begin_size=N,end=ADDRESS,end_size=N (the two marker functions),
 * slots=N, out=PATH. A window is what executes after the begin marker returned and before the end
 * marker starts; window i adds to slot i % slots. QEMU counts executions of translation blocks;
 * each is left only at its end (nothing interrupts the measured code), so executions times
 * instructions is exact. Instructions skipped inside an IT block count, as they do on the chip.
 *
 * Output, one record a line, decimal:
 *     slots N
 *     windows N                                     complete windows
 *     block ADDRESS BYTES INSTRUCTIONS EXECUTIONS[0] ... EXECUTIONS[N-1]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *tb, void (*callback)(unsigned cpu, void *data),
    enum qemu_plugin_cb_flags flags, void *data);
extern void qemu_plugin_register_vcpu_tb_exec_inline(
    struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *pointer, uint64_t amount);
extern void qemu_plugin_register_atexit_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, void *data), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(
    const struct qemu_plugin_tb *tb, size_t index);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;

/* A piece of code as QEMU translated it. Blocks live as long as the process: translated code holds
 * their address. Translating the same piece again finds the same block. */
struct block {
    struct block *next; /* in its bucket */
    uint64_t address;
    uint64_t bytes;
    uint64_t instructions;
    uint64_t executions;      /* counted by translated code */
    uint64_t executions_then; /* when the open window began */
    uint64_t slot[];          /* executions within windows, per slot */
};

#define BUCKETS 4096u

static struct block *buckets[BUCKETS];
static uint64_t begin_address, begin_size, end_address, end_size;
static uint64_t slot_count = 1;
static uint64_t window_count;
static int window_open;
static char *output_path;

static void for_each_block(void (*visit)(struct block *block, void *context), void *context) {
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        for (struct block *block = buckets[bucket]; block != NULL; block = block->next) {
            visit(block, context);
        }
    }
}

static struct block *find_or_add_block(uint64_t address, uint64_t bytes, uint64_t instructions) {
    struct block **head = &buckets[(address >> 1) % BUCKETS];
    for (struct block *block = *head; block != NULL; block = block->next) {
        if (block->address == address && block->bytes == bytes
            && block->instructions == instructions) {
            return block;
        }
    }
    struct block *block = calloc(1, sizeof *block + slot_count * sizeof block->slot[0]);
    if (block == NULL) {
        fputs("count_blocks: out of memory\n", stderr);
        exit(1);
    }
    block->next = *head;
    block->address = address;
    block->bytes = bytes;
    block->instructions = instructions;
    *head = block;
    return block;
}

static void remember(struct block *block, void *context) {
    (void)context;
    block->executions_then = block->executions;
}

static void add_to_slot(struct block *block, void *context) {
    const uint64_t slot = *(const uint64_t *)context;
    block->slot[slot] += block->executions - block->executions_then;
}

static void window_begins(unsigned cpu, void *data) {
    (void)cpu;
    (void)data;
    for_each_block(remember, NULL);
    window_open = 1;
}

static void window_ends(unsigned cpu, void *data) {
    (void)cpu;
    (void)data;
    if (window_open) {
        uint64_t slot = window_count % slot_count;
        for_each_block(add_to_slot, &slot);
        window_count++;
        window_open = 0;
    }
}

static int within(uint64_t address, uint64_t first, uint64_t size) {
    return address >= first && address < first + size;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    const uint64_t address = qemu_plugin_tb_vaddr(tb);
    if (address == begin_address) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, window_begins, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (address == end_address) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, window_ends, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (within(address, begin_address, begin_size) || within(address, end_address, end_size)) {
        return;
    }
    const size_t instructions = qemu_plugin_tb_n_insns(tb);
    uint64_t bytes = 0;
    for (size_t index = 0; index < instructions; index++) {
        bytes += qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, index));
    }
    struct block *block = find_or_add_block(address, bytes, instructions);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->executions, 1);
}

static void print_block(struct block *block, void *context) {
    FILE *out = context;
    uint64_t total = 0;
    for (uint64_t slot = 0; slot < slot_count; slot++) {
        total += block->slot[slot];
    }
    if (total == 0) {
        return;
    }
    fprintf(out, "block %llu %llu %llu", (unsigned long long)block->address,
            (unsigned long long)block->bytes, (unsigned long long)block->instructions);
    for (uint64_t slot = 0; slot < slot_count; slot++) {
        fprintf(out, " %llu", (unsigned long long)block->slot[slot]);
    }
    fputc('\n', out);
}

static void finished(qemu_plugin_id_t id, void *data) {
    (void)id;
    (void)data;
    FILE *out = fopen(output_path, "w");
    if (out == NULL) {
        fprintf(stderr, "count_blocks: cannot write %s\n", output_path);
        return;
    }
    fprintf(out, "slots %llu\nwindows %llu\n", (unsigned long long)slot_count,
            (unsigned long long)window_count);
    for_each_block(print_block, out);
    fclose(out);
}

static int parse_argument(char *argument) {
    static const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {"begin=", &begin_address}, {"begin_size=", &begin_size}, {"end=", &end_address},
        {"end_size=", &end_size},   {"slots=", &slot_count},
    };
    for (unsigned index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
        const size_t length = strlen(numbers[index].key);
        if (strncmp(argument, numbers[index].key, length) == 0) {
            char *rest;
            *numbers[index].number = strtoull(argument + length, &rest, 0);
            return *rest == '\0';
        }
    }
    if (strncmp(argument, "out=", 4) == 0) {
        output_path = strdup(argument + 4);
        return 1;
    }
    return 0;
}

EXPORT int qemu_plugin_install(
    qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv) {
    (void)info;
    for (int index = 0; index < argc; index++) {
        if (!parse_argument(argv[index])) {
            fprintf(stderr, "count_blocks: bad argument %s\n", argv[index]);
            return -1;
        }
    }
    if (output_path == NULL || slot_count == 0) {
        fputs("count_blocks: out= and slots= are required\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
