"""Compare emulated Cortex-M4 and M7 with the reference bit by bit, and the memory with the plan.

``--run`` and ``--untrained`` may be given several times. Trained runs take images of their test
set, untrained networks random ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import NEVER, Graph, Int8Array, Op, Requant
from codegen.graph.ops.add import Add
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.synthetic import random_inputs
from codegen.lower import lowering
from codegen.measure.compare import Report
from codegen.target.target import resolve
from codegen.tasks import Targets
from experiments.common.markdown import table
from nestnet import runs
from nestnet.cli.device_images import device_images
from nestnet.preview.untrained import untrained, write_untrained

COST = "minutes; needs the runs it compares"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)
BOARDS = ("qemu_m4", "qemu_m7")


@dataclass(frozen=True)
class Case:
    """One network and the images it runs on."""

    title: str
    file: Path
    inputs: tuple[Int8Array, ...]
    targets: Targets | None


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


def memory(case: Case, report: Report) -> dict[str, Any]:
    """Return flash beside the densest level alone, and RAM beside the plan, in bytes."""
    graph = nestfile.load(case.file)
    host = resolve("host")
    family, alone = lowering.lower(graph, host), lowering.lower(densest_alone(graph), host)
    layers = [layer for layer in family.layers if layer.streams]
    streams = sum(
        stream.positions.size_bytes + stream.weights.size_bytes
        for layer in layers
        for stream in layer.streams
    )
    kept = sum(kept_weights(layer.op) for layer in layers)
    stack_bytes = report.stack_bytes or 0
    return {
        "case": case.title,
        "family_bytes": len(family.image_bytes),
        "alone_bytes": len(alone.image_bytes),
        "bytes_per_kept_weight": round(streams / kept, 3) if kept else None,
        "arena_bytes": family.arena_bytes,
        "stack_bytes": stack_bytes,
        "ram_bytes": report.sizes.ram_bytes - report.sizes.stack_reserve_bytes + stack_bytes,
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the networks to compare."""
    parser.add_argument("--run", type=Path, action="append", default=[], help="trained run folder")
    parser.add_argument("--untrained", action="append", default=[], help="model of the zoo")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--build", type=Path, default=Path("build/exact"))


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the networks of the options.

    Raises:
        UserError: there are none.
    """
    if not options.run and not options.untrained:
        raise UserError(
            "exact",
            "no network to compare",
            got="neither --run nor --untrained",
            expected="at least one",
            action="Add --untrained mobilenetv1@0.25",
        )
    for folder in options.run:
        data = device_images(folder / runs.MODEL, options.images)
        title = f"{nestfile.load(folder / runs.MODEL).provenance.model}, {data.data}"
        yield Case(title, folder / runs.MODEL, data.inputs, data.targets)
    for model in options.untrained:
        graph = untrained(model)
        file = write_untrained(graph, options.build)
        inputs = random_inputs(graph, options.images, seed=SEEDS[0])
        yield Case(f"{model}, random weights", file, inputs, None)


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run every case on both cores; yield the cases that are done."""
    reports: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    for case in cases(options):
        for board in BOARDS:
            out = options.build / f"{case.file.parent.name}-{case.file.stem}-{board}"
            report = flow.run(case.file, board, case.inputs, case.targets, out=out)
            entry = {"case": case.title, **report.as_json()}
            reports.append({**entry, "elf": Path(str(entry["elf"])).name})
        sizes.append(memory(case, report))
        yield {"reports": reports, "memory": sizes}


def page(findings: Mapping[str, Any]) -> str:
    """Return the tables of bits and of memory."""
    rows = []
    for report in findings["reports"]:
        for level in report["levels"]:
            accuracy = level["accuracy_device"]
            cells = [report["case"], report["board"], level["level"], f"{level['sparsity']:.0%}"]
            cells += [level["images"], "yes" if level["bit_exact"] else "NO"]
            cells += ["-" if accuracy is None else f"{accuracy:.1%}"]
            rows.append([*cells, f"{level['instructions']:,}"])
    sizes = []
    for row in findings["memory"]:
        family, alone, per_weight = (
            row[name] for name in ("family_bytes", "alone_bytes", "bytes_per_kept_weight")
        )
        cells = [row["case"], f"{family:,}", f"{alone:,}", f"{family / alone:.3f}"]
        cells += ["-" if per_weight is None else f"{per_weight:.3f}"]
        rest = ("arena_bytes", "stack_bytes", "ram_bytes")
        sizes.append([*cells, *(f"{row[name]:,}" for name in rest)])
    heads = ["network", "board", "level", "sparsity", "images", "bit-exact", "accuracy"]
    memory_heads = ["network", "family bytes", "densest alone", "ratio", "bytes per kept weight"]
    return f"""# Bit-exactness and memory

Outputs of the emulated boards (QEMU mps2-an386 and mps2-an500, gcc -O3) against the integer
reference, all bytes of every image. Instructions: executed per inference, exact, mean over the
images.

{table([*heads, "instructions"], rows)}

Flash of the whole nested family against its densest level generated alone (weights, positions and
tables), bytes of weights and positions per kept weight of the nested layers, and RAM on qemu_m7:
the planned arena, the measured stack depth of the runner, and all RAM of the program with that
stack.

{table([*memory_heads, "arena", "stack", "RAM in all"], sizes)}
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the levels whose bits differ from the reference."""
    return [
        f"{report['case']}, {report['board']}, level {level['level']}: bits differ"
        for report in findings["reports"]
        for level in report["levels"]
        if not level["bit_exact"]
    ]
