"""Compare emulated Cortex-M4 and M7 with the reference bit by bit, and the memory with the plan.

    python docs/results/exact.py --run runs/net-digits-1 --run runs/resnet8-1 \\
        --untrained mobilenetv1@0.25 --images 200 --date 2026-01-31

Trained runs take images of their test set, untrained networks random ones. Writes exact.md and
exact.json beside itself.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codegen import flow
from codegen.graph import file as nestfile
from codegen.graph.ir import NEVER, Graph, Int8Array, Op, Requant
from codegen.graph.ops.add import Add
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.lower import lowering
from codegen.measure.compare import Report
from codegen.target.target import resolve
from nestnet import runs
from nestnet.cli.device_images import device_images, random_images
from nestnet.preview.untrained import untrained, write_untrained

HERE = Path(__file__).resolve().parent
BOARDS = ("qemu_m4", "qemu_m7")


@dataclass(frozen=True)
class Case:
    """One network and the images it runs on."""

    title: str
    file: Path
    images: Int8Array
    labels: tuple[int, ...] | None


def densest_alone(graph: Graph) -> Graph:
    """Return the densest level of ``graph`` as a network of its own."""
    last = len(graph.levels) - 1

    def requant(old: Requant) -> Requant:
        return replace(old, multiplier=old.multiplier[last:], bias_delta=old.bias_delta[last:])

    def op(old: Op) -> Op:
        if isinstance(old, Conv2D | Linear):
            assert isinstance(old.requant, Requant)
            levels = old.group_level
            alone = None if levels is None else np.where(levels == NEVER, NEVER, 0).astype(np.uint8)
            new = replace(old, requant=requant(old.requant), group_level=alone)
            if isinstance(new, Conv2D) and new.residual is not None:
                kept = replace(new.residual, multiplier=new.residual.multiplier[last:])
                new = replace(new, residual=kept)
            return new
        if isinstance(old, Add):
            return replace(old, multiplier=old.multiplier[last:], offset=old.offset[last:])
        return old

    values = tuple(replace(value, scale=value.scale[last:]) for value in graph.values)
    return replace(
        graph, values=values, ops=tuple(op(o) for o in graph.ops), levels=graph.levels[last:]
    )


def kept_weights(op: Op) -> int:
    """Return how many weights of a nested layer its densest level keeps."""
    assert isinstance(op, Conv2D | Linear) and op.group_level is not None
    kept = np.repeat(op.group_level != NEVER, op.group_size, axis=-1)
    return int(kept[..., : op.weight.shape[-1]].sum())


def memory_row(case: Case, report: Report) -> str:
    """Return the table row: flash beside the densest level alone, RAM beside the plan."""
    graph = nestfile.load(case.file)
    family, alone = (
        lowering.lower(graph, resolve("host")),
        lowering.lower(densest_alone(graph), resolve("host")),
    )
    layers = [layer for layer in family.layers if layer.streams]
    streams = sum(
        stream.positions.size_bytes + stream.weights.size_bytes
        for layer in layers
        for stream in layer.streams
    )
    kept = sum(kept_weights(layer.op) for layer in layers)
    ratio = len(family.image_bytes) / len(alone.image_bytes)
    ram = report.sizes.ram_bytes - report.sizes.stack_reserve_bytes + (report.stack_bytes or 0)
    per_weight = f"{streams / kept:.3f}" if kept else "-"
    return (
        f"| {case.title} | {len(family.image_bytes):,} | {len(alone.image_bytes):,} | {ratio:.3f} "
        f"| {per_weight} | {family.arena_bytes:,} | {report.stack_bytes:,} | {ram:,} |"
    )


def main() -> None:
    """Run every case on both cores and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, action="append", default=[], help="trained run folder")
    parser.add_argument("--untrained", action="append", default=[], help="model of the zoo")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--build", type=Path, default=Path("build/exact"))
    parser.add_argument("--date", required=True)
    options = parser.parse_args()
    cases = []
    for folder in options.run:
        data = device_images(folder / runs.MODEL, options.images)
        title = f"{nestfile.load(folder / runs.MODEL).provenance.model}, {data.data}"
        cases.append(Case(title, folder / runs.MODEL, data.images, data.labels))
    for model in options.untrained:
        graph = untrained(model)
        file = write_untrained(graph, options.build)
        cases.append(
            Case(f"{model}, random weights", file, random_images(graph, options.images), None)
        )
    rows, memory, record = [], [], []
    for case in cases:
        for board in BOARDS:
            out = options.build / f"{case.file.parent.name}-{case.file.stem}-{board}"
            report = flow.run(case.file, board, case.images, case.labels, out=out)
            record.append({"case": case.title, **report.as_json()})
            for level in report.levels:
                accuracy = level.accuracy_device
                rows.append(
                    f"| {case.title} | {board} | {level.level} | {level.sparsity:.0%} "
                    f"| {level.images} | {'yes' if level.bit_exact else 'NO'} "
                    f"| {'-' if accuracy is None else f'{accuracy:.1%}'} | {level.instructions:,} |"
                )
            print(*rows[-len(report.levels) :], sep="\n", flush=True)
        memory.append(memory_row(case, report))
    for entry in record:
        entry["elf"] = Path(str(entry["elf"])).name
    (HERE / "exact.json").write_text(json.dumps(record, indent=2) + "\n")
    text = "\n".join(
        [
            "# Bit-exactness and memory",
            "",
            "Outputs of the emulated boards (QEMU 7.2 mps2-an386 and mps2-an500, arm-none-eabi-gcc "
            "12.2 -O3) against the",
            "integer reference, all bytes of every image. Instructions: executed per inference, "
            f"exact, mean over the images. Date: {options.date}.",
            "",
            "| network | board | level | sparsity | images | bit-exact | accuracy | instructions |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Flash of the whole nested family against its densest level generated alone (weights, "
            "positions and tables), bytes of",
            "weights and positions per kept weight of the nested layers, and RAM on qemu_m7: the "
            "planned arena, the measured stack",
            "depth of the runner, and all RAM of the program with that stack.",
            "",
            "| network | family bytes | densest alone | ratio | bytes per kept weight | arena "
            "| stack | RAM in all |",
            "|---|---|---|---|---|---|---|---|",
            *memory,
            "",
            "Written by `docs/results/exact.py`; more in `exact.json`.",
        ]
    )
    (HERE / "exact.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
