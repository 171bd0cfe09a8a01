"""Instruction counts of programs whose count is known from their source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codegen import paths
from codegen.errors import UserError
from codegen.target import boards
from codegen.target.emulator import counts, plugin
from codegen.target.runners import qemu

pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")),
    reason="needs qemu-system-arm and arm-none-eabi-gcc",
)

LINKER_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(nn_reset)
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) . = ALIGN(4); } > FLASH
  .stack (NOLOAD) : { nn_stack_limit = .; . += 4096; nn_stack_top = .; } > RAM
  .data : { nn_data_begin = .; *(.data*) . = ALIGN(4); nn_data_end = .; } > RAM AT > FLASH
  nn_data_load = LOADADDR(.data);
  .bss (NOLOAD) : { nn_bss_begin = .; *(.bss*) . = ALIGN(4); nn_bss_end = .; } > RAM
}
"""

# One window per n: push, a loop of 2 n, compare, an IT block (itself and two instructions, one of
# them skipped), pop.
PROGRAM = """
#include "nn_port.h"

volatile float scale = 1.5f;

__attribute__((naked, noinline)) static void countdown(__attribute__((unused)) uint32_t n)
{
    __asm__ volatile("push {r4, lr}\\n"
                     "1: subs r0, r0, #1\\n"
                     "bne 1b\\n"
                     "cmp r0, #0\\n"
                     "ite eq\\n"
                     "moveq r4, #1\\n"
                     "movne r4, #2\\n"
                     "pop {r4, pc}\\n");
}

int main(void)
{
    scale = scale * 2.0f;
    for (uint32_t n = 1; n <= 6; n++) {
        nn_mark_begin();
        countdown(n * 1000u);
        nn_mark_end();
    }
    return (int)scale + 4;
}
"""


def compile_program(folder: Path, board_id: str, source: str) -> Path:
    """Build a program with our start-up code and port; return its ELF file."""
    target = boards.load(board_id)
    (folder / "main.c").write_text(source)
    (folder / "link.ld").write_text(LINKER_SCRIPT)
    firmware = paths.firmware()
    flags = [*target.chip.compile_flags, "-O3", "-std=c11", "-Wall"]
    flags += ["-Wextra", "-Wconversion", "-Werror", f"-I{firmware / 'port'}", "-nostartfiles"]
    # The cache code is compiled in to see it run; the emulated boards themselves have no cache.
    flags.append(f"-DNN_CORE_CACHES={int(target.core.name == 'cortex-m7')}")
    sources = ["main.c", firmware / "port/nn_mark.c", firmware / "port/nn_port_semihosting.c"]
    sources.append(firmware / "startup/nn_startup.c")
    command = ["arm-none-eabi-gcc", *flags, *map(str, sources), "-T", "link.ld", "-o", "main.elf"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "main.elf"


@pytest.mark.parametrize("board_id", ["qemu_m4", "qemu_m7"])
def test_counts_are_exact(tmp_path: Path, board_id: str) -> None:
    elf = compile_program(tmp_path, board_id, PROGRAM)
    machine = boards.load(board_id).qemu_machine
    assert machine is not None
    out = tmp_path / "counts.txt"
    exit_code = qemu.run_elf(elf, machine, tmp_path, 3, out)
    assert exit_code == 7, "the FPU works and the exit code arrives"

    recorded = counts.read(out)
    assert (recorded.windows, recorded.windows_per_slot) == (6, 2)
    by_function = recorded.by_function(counts.functions(elf))
    # Windows n and n + 3 share a slot: push, loop, cmp, ite, two moves (one skipped), pop.
    expected = tuple(sum(1 + 2 * 1000 * n + 5 for n in (slot, slot + 3)) for slot in (1, 2, 3))
    assert by_function["countdown"] == expected
    assert set(by_function) == {"countdown", "main"}
    # main: per window the argument and the call.
    assert by_function["main"][0] == by_function["main"][2] <= 2 * 4

    qemu.run_elf(elf, machine, tmp_path, 3, tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_text() == out.read_text()


def test_plugin_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = plugin.build()
    stamp = first.stat().st_mtime_ns
    assert plugin.build() == first
    assert first.stat().st_mtime_ns == stamp
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_no_compiler_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt-get install gcc"):
        plugin.build()


def test_no_emulator_says_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt-get install qemu-system-arm"):
        qemu.run_elf(tmp_path / "x.elf", "mps2-an386", tmp_path, 1, tmp_path / "out")


def test_code_where_the_machine_has_none_is_told_from_an_old_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = LINKER_SCRIPT.replace("ORIGIN = 0,", "ORIGIN = 0x08000000,")
    monkeypatch.setattr(sys.modules[__name__], "LINKER_SCRIPT", moved)
    elf = compile_program(tmp_path, "qemu_m4", PROGRAM)
    with pytest.raises(UserError, match=r"program faulted.*code at 0x08000000 on mps2") as caught:
        qemu.run_elf(elf, "mps2-an386", tmp_path, 1, tmp_path / "out")
    assert "7.2" not in str(caught.value) and "R00" not in str(caught.value)


STRAIGHT_LINE = """
#include "nn_port.h"

__attribute__((naked, noinline)) static void straight(void)
{
    __asm__ volatile(".rept PAD\\nnop\\n.endr\\n"
                     ".rept 700\\nadd.w r0, r0, #1\\n.endr\\n"
                     "bx lr\\n");
}

int main(void)
{
    nn_mark_begin();
    straight();
    nn_mark_end();
    return 0;
}
"""


@pytest.mark.parametrize("pad", [1, 2, 3])
def test_block_sizes_across_pages(tmp_path: Path, pad: int) -> None:
    """QEMU reports the instruction before a page end too long; blocks must still add up."""
    elf = compile_program(tmp_path, "qemu_m4", STRAIGHT_LINE.replace("PAD", str(pad)))
    out = tmp_path / "counts.txt"
    assert qemu.run_elf(elf, "mps2-an386", tmp_path, 1, out) == 0
    straight = next(f for f in counts.functions(elf) if f.name == "straight")
    size = 2 * pad + 4 * 700 + 2
    blocks = [
        block
        for block in counts.read(out).blocks
        if straight.address <= block.address < straight.address + size
    ]
    assert len(blocks) > 2, "the code crosses pages"
    address = straight.address
    for block in blocks:
        assert block.address == address
        address += block.size_bytes
    assert address == straight.address + size
    assert sum(block.instructions for block in blocks) == pad + 700 + 1
