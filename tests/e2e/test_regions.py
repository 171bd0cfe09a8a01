"""A network whose arena and weights lie in other regions than the rest computes the same bits."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from codegen import flow, paths
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_graph, random_images, random_inputs
from codegen.lower import lowering
from codegen.measure import compare
from codegen.target import boards, sizes, toolchain
from codegen.target.target import resolve
from tests.support.projects import SHA256, need_tools, small_graph

OWN = """
id = "own"
title = "a made-up chip on an emulated machine"
status = "test"
runner = "qemu"
qemu_machine = "{machine}"

[chip]
id = "own_chip"
title = "three regions of RAM"
source = "the emulated machine"
core = "{core}"
fpu = "none"
clock_hz = 25_000_000
reset_clock_hz = 25_000_000

[chip.cache]
kind = "none"
instruction_bytes = 0
data_bytes = 0
line_bytes = 0
"""
REGION = """
[[chip.memory]]
name = "{}"
use = {}
address = {}
size_bytes = {}
wait_states = {}
cached = false
"""
MACHINES = {
    "mps2-an386": ("cortex-m4", [
        ("CODE", ["code"], 0, 131_072, 0),
        ("FAST", ["stack", "data", "arena"], 0x2000_0000, 8192, 0),
        ("SLOW", ["arena"], 0x2010_0000, 65_536, 2),
        ("PSRAM", ["weights", "arena"], 0x2100_0000, 1_048_576, 5),
    ]),
    "mps2-an500": ("cortex-m7", [
        ("CODE", ["code", "weights"], 0, 131_072, 0),
        ("CCM", ["stack"], 0x2000_0000, 4608, 0),
        ("FAST", ["data"], 0x2010_0000, 8192, 0),
        ("PSRAM", ["arena"], 0x6000_0000, 65_536, 5),
    ]),
    "mps3-an547": ("cortex-m55", [
        ("ITCM", ["code"], 0x1000_0000, 131_072, 0),
        ("DTCM", ["stack", "data", "arena"], 0x3000_0000, 8192, 0),
        ("ISRAM", ["weights", "arena"], 0x3100_0000, 1_048_576, 1),
    ]),
}  # fmt: skip
"""Machine: its core, and regions, the arena's first choice of which is too small."""


def own_board(folder: Path, machine: str) -> Path:
    """Write a board file with its chip inline; return its path."""
    core, regions = MACHINES[machine]
    shown = (REGION.format(n, str(u).replace("'", '"'), *rest) for n, u, *rest in regions)
    path = folder / "own.toml"
    path.write_text(OWN.format(machine=machine, core=core) + "".join(shown), encoding="utf-8")
    return path


LTO = {"EXTRA_CFLAGS": "-flto", "AR": "arm-none-eabi-gcc-ar"}


@pytest.mark.parametrize(("machine", "arena", "weights", "options"), [
    ("mps2-an386", "SLOW", "PSRAM", {}),
    ("mps2-an386", "SLOW", "PSRAM", LTO),
    ("mps2-an386", "SLOW", "PSRAM", {"EXTRA_CFLAGS": "-fno-data-sections"}),
    ("mps2-an500", "PSRAM", "CODE", {}),
    ("mps2-an500", "PSRAM", "CODE", {"OPT_FLAGS": "-O2"}),
    ("mps3-an547", "ISRAM", "ISRAM", {}),
    ("mps3-an547", "ISRAM", "ISRAM", LTO),
])  # fmt: skip
def test_a_chip_with_several_regions_is_bit_exact(
    machine: str, arena: str, weights: str, options: dict[str, str], tmp_path: Path
) -> None:
    """Whatever the compiler's flags: the sections of arena and weights have names of their own."""
    need_tools("qemu_m4")
    graph = small_graph()
    model = tmp_path / "model.nestnet"
    nestfile.save(graph, model)
    made = flow.codegen(model, str(own_board(tmp_path, machine)), tmp_path / "out")
    built = toolchain.build(made, options)
    found = {region.name: region for region in built.sizes.regions}
    at, size = sizes.variable(built.runner_elf, "arena")
    regions = {region.name: region for region in built.board.memory}
    assert regions[arena].address <= at < regions[arena].end
    assert size == built.info.arena_bytes <= found[arena].used_bytes
    (name,) = re.findall(r"#define nn_weights_tiny (\w+)", (made / "library/weights.h").read_text())
    at, size = sizes.variable(built.runner_elf, name)
    assert regions[weights].address <= at < regions[weights].end
    assert size == built.info.weights_bytes
    assert built.sizes.weights_bytes == size
    parts = built.sizes.arena_bytes + built.sizes.variables_bytes + built.sizes.stack_reserve_bytes
    assert built.sizes.ram_bytes == parts
    assert built.sizes.flash_bytes == built.sizes.weights_bytes + built.sizes.code_bytes
    exact = compare.compare(built, graph, random_inputs(graph, 3, seed=5), None, range(2))
    assert exact.bit_exact, "\n".join(map(str, exact.differences))
    page = " ".join((made / "README.md").read_text().split())
    assert f"arena | {arena}" in page or f"weights, arena | {arena}" in page


def test_memory_that_is_off_after_reset_is_switched_on(tmp_path: Path) -> None:
    """The word of a made-up clock register lies in RAM here: start-up must have set its bits."""
    need_tools("qemu_m4")
    path = own_board(tmp_path, "mps2-an386")
    text = path.read_text().replace(
        'use = ["arena"]', 'use = ["arena"]\nenable = { address = 0x2020_0000, set_bits = 0x5 }'
    )
    path.write_text(text, encoding="utf-8")
    folder = project.write(small_graph(), SHA256, resolve(str(path)), tmp_path / "out")
    assert "0x20200000u |= 0x00000005u;" in (folder / "README.md").read_text()
    check = "if (*(volatile unsigned *)0x20200000u != 5u) { return 77; }\n"
    main = folder / "example/main.c"
    main.write_text(main.read_text().replace("    nn_net net;\n", f"    {check}    nn_net net;\n"))
    built = toolchain.build(folder)
    command = ["qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-monitor", "none"]
    command += ["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel"]
    done = subprocess.run([*command, str(built.firmware_elf)], check=False, timeout=60)
    assert done.returncode == 0


def test_the_bench_prices_the_arena_where_it_lies(tmp_path: Path) -> None:
    need_tools("qemu_m4")
    model, images = tmp_path / "model.nestnet", random_images(small_graph(), 1, 1)
    nestfile.save(small_graph(), model)
    path = own_board(tmp_path, "mps2-an386")
    found = flow.bench(model, str(path), images, out=tmp_path / "out")
    assert "2 of RAM" in found.estimator and "range" in found.estimator
    assert all(level.cycles and level.cycles.low < level.cycles.high for level in found.levels)


def test_what_fits_nowhere_is_refused_before_it_is_built(tmp_path: Path) -> None:
    path = own_board(tmp_path, "mps2-an500")
    board = boards.load(str(path))
    memory = (*board.memory[:3], replace(board.memory[3], size_bytes=512))
    board = replace(board, chip=replace(board.chip, memory=memory))
    message = (
        r"board own: network tiny does not fit: its arena takes (\d+) bytes of RAM; got free are "
        r"512 in PSRAM, expected one region for arena with \1 bytes\. .*Layer \w+ alone takes \d+ "
        r"bytes: make its maps smaller, use a smaller input, or choose a board with more RAM"
    )
    with pytest.raises(UserError, match=message):
        project.write(small_graph(), SHA256, resolve(board), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    small = replace(board.memory[0], size_bytes=512)
    board = replace(board, chip=replace(board.chip, memory=(small, *memory[1:])))
    with pytest.raises(UserError, match=r"its weights takes? \d+ bytes of flash.*densest level"):
        project.write(small_graph(), SHA256, resolve(board), tmp_path / "out")


def test_the_refusal_names_an_option_that_fits(tmp_path: Path) -> None:
    graph = random_graph(31, blocks=6)
    board = boards.load(str(own_board(tmp_path, "mps2-an500")))
    target = resolve(board, optimize="size", decode="level")
    needed = lowering.lower(graph, target).arena_bytes
    other = lowering.lower(graph, replace(target, decode="inference")).arena_bytes
    assert other < needed, "the case needs a network whose decoded weights take the arena"
    memory = (*board.memory[:3], replace(board.memory[3], size_bytes=needed - 8))
    target = replace(target, board=replace(board, chip=replace(board.chip, memory=memory)))
    with pytest.raises(UserError, match=rf"--decode inference \({other} bytes\)"):
        project.write(graph, SHA256, target, tmp_path / "out")


def test_shipped_chips_list_all_their_ram() -> None:
    """Sums of the data sheets named in the files, backup memory included."""
    totals = {"stm32f4": 256, "stm32f7": 528, "stm32l4": 640, "stm32h7": 1060}
    for name, kib in totals.items():
        memory = boards.load(name).memory
        ram = [region for region in memory if "code" not in region.use]
        assert sum(region.size_bytes for region in ram) == kib * 1024, name
    assert paths.chips().is_dir()
