/* count_blocks.c - QEMU TCG plugin: exact counts between two marker functions.
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
 * With flash_bytes=N the memory events of an imagined chip are counted too: flash=ADDRESS and
 * flash_bytes=N say where flash is, ram=ADDRESS and ram_bytes=N which RAM is behind the data cache
 * (if any; ram2= and ram2_bytes= a second piece of it), icache_sets=, icache_ways=, icache_line= and the same
 * with dcache_ what the caches are (absent: none). The caches replace the least recently used line and live
 * through all windows.
 *
 * Output, one record a line, decimal; COUNTERS is enum counter below, each one number per slot:
 *     slots N
 *     windows N                                     complete windows
 *     block ADDRESS BYTES INSTRUCTIONS COUNTERS...
 */
#include <stdbool.h>
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
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                  void (*callback)(qemu_plugin_id_t id,
                                                                   struct qemu_plugin_tb *tb));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                                 void (*callback)(unsigned cpu, void *data),
                                                 enum qemu_plugin_cb_flags flags, void *data);
extern void
qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                 void (*callback)(unsigned cpu, uint32_t info, uint64_t address, void *data),
                                 enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw access, void *data);
extern bool qemu_plugin_mem_is_store(uint32_t info);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t id, void *data), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;

enum counter {
    EXECUTIONS,
    FALL_THROUGHS,      /* the block at this one's end ran next */
    INSTRUCTION_MISSES, /* lines */
    LOAD_MISSES,
    STORE_MISSES,
    FLASH_LOADS,         /* hit or miss */
    CACHED_RAM_ACCESSES, /* loads and stores, hit or miss */
    COUNTERS
};

/* A piece of code as QEMU translated it. Blocks live as long as the process: translated code holds
 * their address. Translating the same piece again finds the same block. */
struct block {
    struct block *next; /* in its bucket */
    uint64_t address;
    uint64_t bytes;
    uint64_t instructions;
    uint64_t count[]; /* within windows: [counter * slot_count + slot] */
};

struct cache {
    uint64_t sets, ways, line; /* no cache if any is 0 */
    uint64_t *lines;           /* [sets][ways], line number + 1, the most recently used first */
};

struct region {
    uint64_t first, bytes;
};

#define BUCKETS 4096u

static struct block *buckets[BUCKETS];
static struct region begin_marker, end_marker;
static uint64_t slot_count = 1;
static uint64_t window_count;
static bool window_open;
static struct block *previous; /* the block executed last in the open window */
static struct cache instruction_cache, data_cache;
static struct region flash, cached_ram[2];
static char *output_path;

static struct block *find_or_add_block(uint64_t address, uint64_t bytes, uint64_t instructions)
{
    struct block **head = &buckets[(address >> 1) % BUCKETS];
    for (struct block *block = *head; block != NULL; block = block->next) {
        if (block->address == address && block->bytes == bytes && block->instructions == instructions) {
            return block;
        }
    }
    struct block *block = calloc(1, sizeof *block + COUNTERS * slot_count * sizeof block->count[0]);
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

static void count(struct block *block, enum counter counter, uint64_t amount)
{
    block->count[counter * slot_count + window_count % slot_count] += amount;
}

/* Look a line up and make it the most recently used; return whether it was absent. */
static bool cache_misses(struct cache *cache, uint64_t line)
{
    uint64_t *const set = cache->lines + line % cache->sets * cache->ways;
    uint64_t way = 0;
    while (way < cache->ways - 1 && set[way] != line + 1) {
        way++;
    }
    const bool misses = set[way] != line + 1;
    memmove(set + 1, set, way * sizeof *set);
    set[0] = line + 1;
    return misses;
}

static bool within(uint64_t address, const struct region *region)
{
    return address >= region->first && address - region->first < region->bytes;
}

static void window_begins(unsigned cpu, void *data)
{
    (void)cpu;
    (void)data;
    window_open = true;
    previous = NULL;
}

static void window_ends(unsigned cpu, void *data)
{
    (void)cpu;
    (void)data;
    window_count += window_open;
    window_open = false;
}

static void fetched(struct block *block)
{
    const uint64_t last = (block->address + block->bytes - 1) / instruction_cache.line;
    uint64_t misses = 0;
    for (uint64_t line = block->address / instruction_cache.line; line <= last; line++) {
        misses += cache_misses(&instruction_cache, line);
    }
    count(block, INSTRUCTION_MISSES, misses);
}

static void executed(unsigned cpu, void *data)
{
    (void)cpu;
    struct block *const block = data;
    if (!window_open) {
        return;
    }
    if (previous != NULL && previous->address + previous->bytes == block->address) {
        count(previous, FALL_THROUGHS, 1);
    }
    previous = block;
    count(block, EXECUTIONS, 1);
    if (instruction_cache.lines != NULL) {
        fetched(block);
    }
}

static void accessed(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
    (void)cpu;
    struct block *const block = data;
    const bool store = qemu_plugin_mem_is_store(info);
    const bool from_flash = !store && within(address, &flash);
    const bool in_cached_ram = within(address, &cached_ram[0]) || within(address, &cached_ram[1]);
    if (!window_open || (!from_flash && !in_cached_ram)) {
        return;
    }
    count(block, from_flash ? FLASH_LOADS : CACHED_RAM_ACCESSES, 1);
    if (data_cache.lines != NULL && cache_misses(&data_cache, address / data_cache.line)) {
        count(block, store ? STORE_MISSES : LOAD_MISSES, 1);
    }
}

/* Size of a Thumb instruction from its first halfword. qemu_plugin_insn_size() counts the halfword after
 * it too where QEMU looks ahead across a page (1 KB on these cores). */
static uint64_t instruction_bytes(const struct qemu_plugin_insn *insn)
{
    const uint8_t *const code = qemu_plugin_insn_data(insn);
    return code[1] >= 0xE8 ? 4 : 2;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    const uint64_t address = qemu_plugin_tb_vaddr(tb);
    if (address == begin_marker.first) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, window_begins, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (address == end_marker.first) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, window_ends, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    if (within(address, &begin_marker) || within(address, &end_marker)) {
        return;
    }
    const size_t instructions = qemu_plugin_tb_n_insns(tb);
    uint64_t bytes = 0;
    for (size_t index = 0; index < instructions; index++) {
        bytes += instruction_bytes(qemu_plugin_tb_get_insn(tb, index));
    }
    struct block *const block = find_or_add_block(address, bytes, instructions);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block);
    for (size_t index = 0; flash.bytes != 0 && index < instructions; index++) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, index), accessed, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, block);
    }
}

static void print_block(const struct block *block, FILE *out)
{
    uint64_t total = 0;
    for (uint64_t slot = 0; slot < slot_count; slot++) {
        total += block->count[EXECUTIONS * slot_count + slot];
    }
    if (total == 0) {
        return;
    }
    fprintf(out, "block %llu %llu %llu", (unsigned long long)block->address, (unsigned long long)block->bytes,
            (unsigned long long)block->instructions);
    for (uint64_t index = 0; index < COUNTERS * slot_count; index++) {
        fprintf(out, " %llu", (unsigned long long)block->count[index]);
    }
    fputc('\n', out);
}

static void finished(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    FILE *out = fopen(output_path, "w");
    if (out == NULL) {
        fprintf(stderr, "count_blocks: cannot write %s\n", output_path);
        return;
    }
    fprintf(out, "slots %llu\nwindows %llu\n", (unsigned long long)slot_count,
            (unsigned long long)window_count);
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        for (const struct block *block = buckets[bucket]; block != NULL; block = block->next) {
            print_block(block, out);
        }
    }
    fclose(out);
}

static int parse_argument(char *argument)
{
    static const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {"begin=", &begin_marker.first},
        {"begin_size=", &begin_marker.bytes},
        {"end=", &end_marker.first},
        {"end_size=", &end_marker.bytes},
        {"slots=", &slot_count},
        {"flash=", &flash.first},
        {"flash_bytes=", &flash.bytes},
        {"ram=", &cached_ram[0].first},
        {"ram_bytes=", &cached_ram[0].bytes},
        {"ram2=", &cached_ram[1].first},
        {"ram2_bytes=", &cached_ram[1].bytes},
        {"icache_sets=", &instruction_cache.sets},
        {"icache_ways=", &instruction_cache.ways},
        {"icache_line=", &instruction_cache.line},
        {"dcache_sets=", &data_cache.sets},
        {"dcache_ways=", &data_cache.ways},
        {"dcache_line=", &data_cache.line},
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

static bool prepare_cache(struct cache *cache)
{
    if (cache->sets != 0 && cache->ways != 0 && cache->line != 0) {
        cache->lines = calloc(cache->sets * cache->ways, sizeof *cache->lines);
        return cache->lines != NULL;
    }
    return true;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
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
    if (!prepare_cache(&instruction_cache) || !prepare_cache(&data_cache)) {
        fputs("count_blocks: out of memory\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
