"""Measure what decoding coded weights costs: instructions and cycles per byte, code, share of time.

Decodes streams of untrained networks (random weights and masks, seed 0) on both emulated cores.
Cycles are estimated, not measured (docs/cycles.md).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codegen import flow
from codegen.formats import dense, nested
from codegen.formats.codecs import deltas, lz4
from codegen.graph.ir import Graph
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.synthetic import random_images
from codegen.measure.bench import DECODE, Bench
from codegen.measure.pipelines import elf, estimate
from codegen.target.emulator import counts
from codegen.target.memory_system import ZERO_WAIT_STATES
from codegen.target.target import Choices
from experiments.common.cycles import least
from experiments.common.markdown import spaced, table
from nestnet.preview.untrained import untrained, write_untrained
from tests.support.firmware import decoders
from tests.support.firmware.decoders import Machine, Request
from tests.support.firmware.rig import FIRMWARE, M4_FLAGS

COST = "minutes"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)
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

WAYS = (
    ("size", "raw", "inference"),
    ("size", "lz4", "inference"),
    ("size", "all", "inference"),
    ("size", "all", "level"),
    ("balanced", "all", "inference"),
    ("balanced", "all", "level"),
)
"""--optimize, --codecs and --decode of the storages that are compared."""


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


def byte_rows(folder: Path) -> list[dict[str, Any]]:
    """Return each stream's instructions and estimated cycles per decoded byte on each core."""
    found = streams()
    requests = [stream.request for stream in found]
    figures: list[dict[str, dict[str, float]]] = [{} for _ in found]
    for name, (machine, core, _) in MACHINES.items():
        ran = decoders.run(requests, folder, machine, flags=FLAGS, measure=True)
        assert ran.recorded is not None and all(answer.accepted for answer in ran.once())
        program, functions = elf.image(ran.elf), counts.functions(ran.elf)
        for slot, stream in enumerate(found):
            blocks = estimate.executed(ran.recorded, program, slot)
            total = estimate.estimate(blocks, core, functions=functions).total
            figures[slot][name] = {
                "instructions": round(total.instructions / stream.decoded_bytes, 1),
                "cycles": round(least(total.cycles) / stream.decoded_bytes, 1),
            }
    return [
        {
            "stream": stream.title,
            "stored_bytes": len(stream.request.stored),
            "decoded_bytes": stream.decoded_bytes,
            "per_byte": values,
        }
        for stream, values in zip(found, figures, strict=True)
    ]


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
    images = random_images(graph, 1, seed=SEEDS[0])
    found = {}
    for name, (_, _, board) in MACHINES.items():
        out = folder / "-".join((*map(str, choices.values()), board))
        found[name] = flow.bench(path, board, images, out=out, **choices)
    return found


def share_rows(graph: Graph, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield cycles of the inference, and of decoding within it, for each core and level."""
    for optimize in ("size", "balanced"):
        coded = benches(graph, Choices(optimize=optimize, codecs="all", decode="inference"), folder)
        raw = benches(graph, Choices(optimize=optimize, codecs="raw", decode="inference"), folder)
        for core, bench in coded.items():
            for level, plain in zip(bench.levels, raw[core].levels, strict=True):
                spent = [layer.cycles for layer in level.layers if layer.name == DECODE]
                yield {
                    "core": core,
                    "optimize": optimize,
                    "sparsity": round(level.sparsity, 4),
                    "cycles": least(level.cycles),
                    "decoding_cycles": sum(map(least, spent)),
                    "over_raw": round(least(level.cycles) / least(plain.cycles) - 1, 4),
                }


def storage_rows(graph: Graph, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the bytes of each way to store the network, on the Cortex-M4."""
    for optimize, codecs, decode in WAYS:
        choices = Choices(optimize=optimize, codecs=codecs, decode=decode)
        sizes = benches(graph, choices, folder)["M4"].sizes
        yield {
            "optimize": optimize,
            "codecs": codecs,
            "decode": decode,
            "weights_bytes": sizes.weights_bytes,
            "code_bytes": sizes.code_bytes,
            "arena_bytes": sizes.arena_bytes,
        }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure everything."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = untrained("resnet8", sparsity=LEVELS)
        yield {
            "estimators": {
                core: estimate.note(model, ZERO_WAIT_STATES)
                for core, (_, model, _) in MACHINES.items()
            },
            "streams": byte_rows(folder),
            "code_bytes": {level: code_bytes(level, folder) for level in ("-Os", "-O2")},
            "shares": list(share_rows(graph, folder)),
            "storages": list(storage_rows(graph, folder)),
        }


def stream_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return instructions and cycles per byte as a Markdown table."""
    heads = [f"{core} {what}" for core in MACHINES for what in ("instructions", "cycles")]
    lines = []
    for row in rows:
        figures = [
            f"{row['per_byte'][core][what]:.1f}"
            for core in MACHINES
            for what in ("instructions", "cycles")
        ]
        sizes = (spaced(row["stored_bytes"]), spaced(row["decoded_bytes"]))
        lines.append([row["stream"], *sizes, *figures])
    return table(["stream", "stored", "decoded", *heads], lines)


def share_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return decoding within an inference as a Markdown table."""
    lines = [
        [
            row["core"],
            row["optimize"],
            f"{round(100 * row['sparsity'])} %",
            spaced(row["cycles"]),
            spaced(row["decoding_cycles"]),
            f"{100 * row['decoding_cycles'] / row['cycles']:.1f} %",
            f"{100 * row['over_raw']:+.1f} %",
        ]
        for row in rows
    ]
    heads = ["core", "--optimize", "level", "cycles", "of them decoding", "share", "over raw"]
    return table(heads, lines)


def page(findings: Mapping[str, Any]) -> str:
    """Return the tables of streams, code, shares and storages."""
    notes = "\n".join(f"- {core}: {note}" for core, note in findings["estimators"].items())
    code = [
        [f"`{level}`", *sizes.values(), sum(sizes.values())]
        for level, sizes in findings["code_bytes"].items()
    ]
    keys = ("weights_bytes", "code_bytes", "arena_bytes")
    storages = [
        [row["optimize"], row["codecs"], row["decode"], *(spaced(row[key]) for key in keys)]
        for row in findings["storages"]
    ]
    storage_heads = ["--optimize", "--codecs", "--decode", "weights", "code", "arena"]
    return f"""# What decoding costs

Networks have random weights and masks, groups of 1x4. Instructions are executed and counted
exactly; cycles are estimated at zero wait states:

{notes}

Decoders are compiled at `{FLAGS[0]}`, the rest at `-O3`, as in generated projects.

## Per decoded byte

Positions are those of resnet8's {LAYER} (3x3, 64 to 64 channels); a position byte stands
for four weights.

{stream_table(findings["streams"])}

## Code

Bytes on Armv7E-M; a program links only what its layers use.

{table(["", "nn_lz4", "nn_deltas", "nn_decode, all of it", "together"], code)}

## Within an inference

resnet8, levels 90, 80, 70 and 50 %, `--decode inference`. The last column compares with the same
network and `--codecs raw`.

{share_table(findings["shares"])}

The same network, Cortex-M4: bytes of weights and tables, of code without them, and of the arena.

{table(storage_heads, storages)}
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return nothing: costs are found, not promised."""
    return []
