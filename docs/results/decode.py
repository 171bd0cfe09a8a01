"""Measure what decoding coded weights costs: instructions and cycles per byte, code, share of time.

    python -m docs.results.decode

Decodes streams of untrained networks (random weights and masks, seed 0) on both emulated cores and
writes decode.md beside itself. Cycles are estimated, not measured (docs/cycles.md).
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from codegen import flow
from codegen.formats import dense, nested
from codegen.formats.codecs import deltas, lz4
from codegen.graph.ir import Graph
from codegen.graph.ops.conv2d import Conv2D
from codegen.measure.bench import DECODE, Bench
from codegen.measure.pipelines import elf, estimate
from codegen.target import toolchain
from codegen.target.emulator import counts
from codegen.target.target import Choices
from nestnet.cli.device_images import random_images
from nestnet.preview.untrained import untrained, write_untrained
from tests.support.firmware import decoders
from tests.support.firmware.decoders import Machine, Request
from tests.support.firmware.rig import FIRMWARE, M4_FLAGS

HERE = Path(__file__).resolve().parent
LEVELS = (0.9, 0.8, 0.7, 0.5)
LAYER = "stack3.conv2"
"""3x3, 64 to 64 channels: the largest layer of resnet8."""

MACHINES: dict[str, tuple[Machine, str, str]] = {
    "M4": ("mps2-an386", "cortex-m4", "qemu_m4"),
    "M7": ("mps2-an500", "cortex-m7", "qemu_m7"),
}
"""Core to the emulated machine, the cycle model and the board."""

FLAGS = ("-Os",)
"""As generated projects compile decoders."""


@dataclass(frozen=True)
class Stream:
    """A stream to decode, and what it is."""

    title: str
    request: Request

    @property
    def decoded_bytes(self) -> int:
        """Return the bytes that a figure per byte refers to."""
        return self.request.out_bytes or len(self.request.stored)


def position_streams(title: str, present: np.ndarray, group: int) -> Iterator[Stream]:
    """Yield a map of groups (rows, count) in both codecs, and the check that LZ4 needs."""
    rows, count = present.shape
    positions = nested.walk(present, group).positions.tobytes()
    size = len(positions)
    yield Stream(
        f"positions, {title}, deltas",
        Request("deltas", deltas.encode(present), size, rows, count, group),
    )
    yield Stream(f"positions, {title}, lz4", Request("lz4", lz4.encode(positions), size))
    yield Stream(
        f"positions, {title}, the check after lz4",
        Request("check", positions, 0, rows, count, group),
    )


def layer_map(sparsity: tuple[float, ...], level: int) -> tuple[np.ndarray, int]:
    """Return which groups (rows, count) of :data:`LAYER` a level adds, and the group size."""
    graph = untrained("resnet8", sparsity=sparsity, allocation="uniform")
    op = next(op for op in graph.ops if op.name == LAYER)
    assert isinstance(op, Conv2D) and op.group_level is not None
    return nested.position_order(op.group_level) == level, op.group_size


def streams() -> list[Stream]:
    """Return everything that is decoded, by title."""
    found: list[Stream] = []
    for share in (0.5, 0.9):
        present, group = layer_map((share,), 0)
        found += position_streams(f"one level, {round(100 * share)} % sparse", present, group)
    present, group = layer_map(LEVELS, len(LEVELS) - 1)
    found += position_streams("what 50 % adds to 70 %", present, group)
    rng = np.random.default_rng(0)
    clusters = np.repeat(rng.random((64, 18)) < 0.3, 8, axis=1)
    found += position_streams("clusters of 8, 70 % sparse", clusters, 4)
    weight = rng.integers(-127, 128, (64, 3, 3, 64), dtype=np.int8)
    groups = weight.reshape(64, 3, 3, 8, 8)
    groups[rng.random(groups.shape[:-1]) < 0.7] = 0
    rows = dense.encode(weight, 64).tobytes()
    title = "dense rows, 70 % zeros in groups of 8 channels, lz4"
    return [*found, Stream(title, Request("lz4", lz4.encode(rows), len(rows)))]


def byte_rows(folder: Path) -> Iterator[str]:
    """Yield one row per stream: instructions and estimated cycles per decoded byte on each core."""
    found = streams()
    requests = [stream.request for stream in found]
    figures: list[list[str]] = [[] for _ in found]
    for machine, core, _ in MACHINES.values():
        ran = decoders.run(requests, folder, machine, flags=FLAGS, measure=True)
        assert ran.recorded is not None and all(answer.accepted for answer in ran.once())
        program, functions = elf.image(ran.elf), counts.functions(ran.elf)
        for slot, stream in enumerate(found):
            blocks = estimate.executed(ran.recorded, program, slot)
            total = estimate.estimate(blocks, core, functions=functions).total
            for value in (total.instructions, total.cycles.low):
                figures[slot].append(f"{value / stream.decoded_bytes:.1f}")
    for stream, values in zip(found, figures, strict=True):
        sizes = (_spaced(len(stream.request.stored)), _spaced(stream.decoded_bytes))
        yield f"| {' | '.join((stream.title, *sizes, *values))} |"


def code_bytes(level: str, folder: Path) -> dict[str, int]:
    """Return the code of each decoder's object file, and of each function of nn_decode."""
    sizes: dict[str, int] = {}
    for name in ("nn_lz4", "nn_deltas", "nn_decode"):
        command = ["arm-none-eabi-gcc", *M4_FLAGS, "-std=c11", level, "-ffunction-sections", "-c"]
        subprocess.run([*command, "-o", "x.o", FIRMWARE / f"{name}.c"], cwd=folder, check=True)
        listing = subprocess.run(
            ["arm-none-eabi-size", "x.o"], cwd=folder, check=True, capture_output=True, text=True
        ).stdout
        sizes[name] = int(listing.splitlines()[1].split()[0])
    return sizes


def benches(graph: Graph, choices: Choices, folder: Path) -> dict[str, Bench]:
    """Return what a network costs on each core."""
    path = write_untrained(graph, folder)
    images = random_images(graph, 1)
    found = {}
    for name, (_, _, board) in MACHINES.items():
        out = folder / "-".join((*map(str, choices.values()), board))
        found[name] = flow.bench(path, board, images, out=out, **choices)
    return found


def share_rows(graph: Graph, folder: Path) -> Iterator[str]:
    """Yield one row per core and level: the inference, and decoding within it."""
    for optimize in ("size", "balanced"):
        coded = benches(graph, Choices(optimize=optimize, codecs="all", decode="inference"), folder)
        raw = benches(graph, Choices(optimize=optimize, codecs="raw", decode="inference"), folder)
        for core, bench in coded.items():
            for level, plain in zip(bench.levels, raw[core].levels, strict=True):
                spent = [layer.cycles for layer in level.layers if layer.name == DECODE]
                decoding = sum(cycles.low for cycles in spent if cycles is not None)
                yield (
                    f"| {core} | {optimize} | {round(100 * level.sparsity)} % | "
                    f"{_spaced(level.cycles.low)} | {_spaced(decoding)} | "
                    f"{100 * decoding / level.cycles.low:.1f} % | "
                    f"{100 * (level.cycles.low / plain.cycles.low - 1):+.1f} % |"
                )


def storage_rows(graph: Graph, folder: Path) -> Iterator[str]:
    """Yield one row per way to store the network."""
    for optimize, codecs, decode in (
        ("size", "raw", "inference"),
        ("size", "lz4", "inference"),
        ("size", "all", "inference"),
        ("size", "all", "level"),
        ("balanced", "all", "inference"),
        ("balanced", "all", "level"),
    ):
        choices = Choices(optimize=optimize, codecs=codecs, decode=decode)
        sizes = benches(graph, choices, folder)["M4"].sizes
        figures = (sizes.weights_bytes, sizes.code_bytes, sizes.arena_bytes)
        cells = " | ".join(_spaced(figure) for figure in figures)
        yield f"| {optimize} | {codecs} | {decode} | {cells} |"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def versions() -> str:
    """Return what compiled and what ran the code."""
    lines = []
    for command in (["arm-none-eabi-gcc", "--version"], ["qemu-system-arm", "--version"]):
        tool = toolchain.find(command[0])
        text = subprocess.run([tool, command[1]], capture_output=True, text=True, check=True).stdout
        lines.append(text.splitlines()[0])
    return "; ".join(lines)


HEAD = """\
# What decoding costs

Written by `make decode`. Networks have random weights and masks (seed 0), groups of 1x4.
Instructions are executed and counted exactly; cycles are estimated at zero wait states:

{notes}
- {versions}; decoders at `{flags}`, the rest at `-O3`, as generated
  projects compile them

## Per decoded byte

Positions are those of resnet8's {layer} (3x3, 64 to 64 channels); a position byte stands
for four weights.

| stream | stored | decoded | M4 instructions | M4 cycles | M7 instructions | M7 cycles |
|---|---|---|---|---|---|---|
"""

CODE = """
## Code

Bytes on Armv7E-M; a program links only what its layers use.

| | nn_lz4 | nn_deltas | nn_decode, all of it | together |
|---|---|---|---|---|
"""

SHARE = """
## Within an inference

resnet8, levels 90, 80, 70 and 50 %, `--decode inference`. The last column compares with the same
network and `--codecs raw`.

| core | --optimize | level | cycles | of them decoding | share | over raw |
|---|---|---|---|---|---|---|
"""

STORAGE = """
The same network, Cortex-M4: bytes of weights and tables, of code without them, and of the arena.

| --optimize | --codecs | --decode | weights | code | arena |
|---|---|---|---|---|---|
"""


def page(folder: Path) -> str:
    """Return the text of decode.md."""
    notes = "\n".join(
        f"- {core}: {estimate.note(model, estimate.ZERO_WAIT_STATES)}"
        for core, (_, model, _) in MACHINES.items()
    )
    text = HEAD.format(notes=notes, versions=versions(), flags=FLAGS[0], layer=LAYER)
    text += "".join(f"{row}\n" for row in byte_rows(folder))
    text += CODE
    for level in ("-Os", "-O2"):
        sizes = code_bytes(level, folder)
        cells = " | ".join(str(size) for size in (*sizes.values(), sum(sizes.values())))
        text += f"| `{level}` | {cells} |\n"
    graph = untrained("resnet8", sparsity=LEVELS)
    text += SHARE + "".join(f"{row}\n" for row in share_rows(graph, folder))
    return text + STORAGE + "".join(f"{row}\n" for row in storage_rows(graph, folder))


def main() -> None:
    """Measure and write the page."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        text = page(Path(name))
    (HERE / "decode.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
