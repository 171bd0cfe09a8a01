"""Fill in the bar table of speed and memory: our networks on both emulated cores beside the peers.

Networks are untrained (random weights, seed 0) and run one image each in the emulator. Cycles are
estimated, not measured (docs/cycles.md).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch

from codegen import flow
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import random_images
from codegen.measure.bench import Bench, LayerCost
from codegen.measure.pipelines import elf
from codegen.measure.pipelines.decode import decode
from experiments.common.cycles import least
from experiments.common.markdown import spaced, table
from nestnet.preview.untrained import untrained, write_untrained

COST = "minutes"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)
CORES = {"M4": "qemu_m4", "M7": "qemu_m7"}
LEVELS = (0.9, 0.8, 0.7, 0.5)
KERNEL_DENSITIES = (0.1, 0.3, 0.5, 1.0)
KERNELS = "kernels"


@dataclass(frozen=True)
class Bar:
    """One line of the table: what we want to reach on each core, and who stands beside."""

    network: str
    title: str
    sparsity: float
    limits: dict[str, float]
    """Core to cycles."""
    beside: str = ""


BARS = (
    Bar("resnet8 dense", "resnet8, dense", 0.0, {"M4": 18.0e6, "M7": 10.5e6},
        "CMSIS-NN 36.1 M / 21.5 M; best closed tool, on boards, 19.8 M / 11.4 M"),
    Bar("resnet8", "resnet8, 50 % sparse", 0.5, {"M4": 13.0e6, "M7": 6.8e6}),
    Bar("resnet8", "resnet8, 70 % sparse", 0.7, {"M4": 8.8e6, "M7": 4.6e6}),
    Bar("resnet8", "resnet8, 80 % sparse", 0.8, {"M4": 6.6e6, "M7": 3.5e6}),
    Bar("resnet8", "resnet8, 90 % sparse", 0.9, {"M4": 4.5e6, "M7": 2.4e6}),
    Bar("mobilenetv1", "mobilenetv1 1.0, 32x32x3, 70 % sparse", 0.7, {"M7": 22.0e6},
        "published nested kernels, on an STM32F767: 44 M"),
    Bar("mobilenetv1_96 dense", "mobilenetv1 0.25, 96x96x3, dense", 0.0,
        {"M4": 14.0e6, "M7": 8.5e6},
        "best closed tool that keeps dead channels 20 M / 12 M"),
    Bar("ds_cnn dense", "ds_cnn, 49x10x1, dense", 0.0, {"M4": 4.6e6, "M7": 2.9e6},
        "best closed tool 5.2 M / 3.2 M"),
)  # fmt: skip

NETWORKS: dict[str, tuple[str, tuple[float, ...], tuple[str, ...]]] = {
    "resnet8 dense": ("resnet8", (0.0,), ("M4", "M7")),
    "resnet8": ("resnet8", LEVELS, ("M4", "M7")),
    "mobilenetv1": ("mobilenetv1", (0.7,), ("M7",)),
    "mobilenetv1_96 dense": ("mobilenetv1_96", (0.0,), ("M4", "M7")),
    "ds_cnn dense": ("ds_cnn", (0.0,), ("M4", "M7")),
}
"""Name here to model, sparsities and cores."""

KNOB = {"M4": 2.9, "M7": 2.8}
"""How much faster the 90 % level shall be than the 50 % level."""

PROTOTYPE = {
    ("dense_3x3", 1.0): "CMSIS-NN 5.5 M / 3.3 M",
    ("nested_3x3_g4", 1.0): "prototype 4.27 M / 2.28 M",
    ("nested_3x3_g4", 0.5): "prototype 2.20 M / 1.17 M",
    ("nested_3x3_g4", 0.3): "prototype 1.37 M / 0.73 M",
    ("nested_3x3_g4", 0.1): "prototype 0.56 M / 0.29 M",
}
"""Hand-scheduled prototype and CMSIS-NN on the same layer: estimated cycles on M4 / M7."""


@dataclass(frozen=True)
class Row:
    """One figure beside its bar."""

    what: str
    core: str
    value: float
    bar: float
    at_least: bool
    """Whether the bar is a minimum."""
    beside: str

    @property
    def met(self) -> bool:
        """Return whether the figure reaches its bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass(frozen=True)
class KernelRow:
    """What one kernel costs on a representative layer at one density."""

    layer: str
    kernel: str
    density: float
    units: int
    """Multiply-accumulates done, or outputs where there are none."""
    unit: str
    instructions: dict[str, int]
    cycles: dict[str, int]
    beside: str


def kernel_graph() -> Graph:
    """Return a chain of representative layers, 16x16x32 where nothing else is said."""
    net = GraphBuilder((32, 32, 3), len(KERNEL_DENSITIES), 1, KERNELS)
    names: list[str] = []

    def conv(name: str, size: int = 3, **options: Any) -> None:
        names.append(name)
        padding = (size // 2,) * 4 if "stride" not in options else (0, 0, 1, 1)
        source = net.last if names[1:] else "input"
        net.conv(source, 32, (size, size), padding=padding, **options)

    conv("first_3x3_stride_2", stride=(2, 2))
    conv("dense_3x3")
    for group in (4, 2, 1):
        conv(f"nested_3x3_g{group}", group=group, densities=KERNEL_DENSITIES)
    conv("nested_3x3_g4_residual", group=4, densities=KERNEL_DENSITIES, residual=net.last)
    conv("nested_1x1_g4", 1, group=4, densities=KERNEL_DENSITIES)
    conv("dense_1x1", 1)
    conv("depthwise_3x3", groups=32)
    conv("depthwise_5x5", 5, groups=32)
    conv("depthwise_3x3_stride_2", groups=32, stride=(2, 2))
    net.pool(net.last, MaxPool, (2, 2), (2, 2))
    net.linear(net.last, 64, group=4, densities=KERNEL_DENSITIES)
    net.linear(net.last, 16)
    net.softmax(net.last)
    names += ["max_pool_2x2", "nested_linear_512", "dense_linear_64", "softmax_16"]
    graph = net.graph()
    ops = zip(graph.ops, names, strict=True)
    return replace(graph, ops=tuple(replace(op, name=name) for op, name in ops))


def benches(graph: Graph, name: str, cores: Sequence[str], folder: Path) -> dict[str, Bench]:
    """Return what ``graph`` costs on each core."""
    path = write_untrained(graph, folder / name.replace(" ", "-"))
    images = random_images(graph, 1, seed=SEEDS[0])
    return {
        core: flow.bench(path, CORES[core], images, out=path.parent / CORES[core]) for core in cores
    }


def cycles(bench: Bench, sparsity: float) -> int:
    """Return the estimated cycles of the level with about this sparsity."""
    return least(min(bench.levels, key=lambda level: abs(level.sparsity - sparsity)).cycles)


def bar_rows(results: dict[str, dict[str, Bench]]) -> Iterator[Row]:
    """Yield cycles, knob ratios and memory beside their bars."""
    for bar in BARS:
        for core, limit in bar.limits.items():
            value = cycles(results[bar.network][core], bar.sparsity)
            yield Row(f"{bar.title}, cycles", core, value, limit, False, bar.beside)
    nested, large = results["resnet8"], results["mobilenetv1_96 dense"]
    for core, wanted in KNOB.items():
        ratio = round(cycles(nested[core], 0.5) / cycles(nested[core], 0.9), 3)
        beside = "published, 70 to 90 %: 1.29"
        yield Row("resnet8, 50 % level over 90 % level", core, ratio, wanted, True, beside)
    for core in CORES:
        sizes = nested[core].sizes
        edges = 32 * 32 * 3 + 10
        ram = sizes.variables_bytes - edges
        yield Row("resnet8, code without weights, bytes", core, sizes.code_bytes, 24 * 1024, False,
                  "CMSIS-NN 25 372")  # fmt: skip
        yield Row("resnet8, RAM besides arena, stack, input and output, bytes", core, ram, 1024,
                  False, "a vendor's runtime 16 KiB")  # fmt: skip
        switch = instructions_of(Path(nested[core].elf), "nn_set_level")
        yield Row("switching the level, instructions at most", core, switch, 100, False, "")
        yield Row("mobilenetv1 0.25, 96x96x3, arena, bytes", core, large[core].sizes.arena_bytes,
                  60 * 1024, False, "TFLM 100 708, CMSIS-NN activations 55 296")  # fmt: skip


def instructions_of(program: Path, symbol: str) -> int:
    """Return how many instructions a function consists of; it must not loop or call.

    Raises:
        ValueError: it does, or there is no such function.
    """
    found = [
        instruction
        for piece in elf.function_code(program, symbol)
        for instruction in decode(piece.code, piece.address)
    ]
    backwards = [i for i in found if i.target is not None and i.target <= i.address]
    if not found or backwards or any(i.text.startswith(("bl ", "blx ")) for i in found):
        raise ValueError(f"{symbol}: cannot bound its instructions")
    return len(found)


def kernel_rows(on: dict[str, Bench]) -> Iterator[KernelRow]:
    """Yield every layer of the kernel network, nested ones at every density."""
    graph = kernel_graph()
    outputs = {op.name: prod(graph.value(op.output).shape) for op in graph.ops}
    some = on["M4"]
    for position, level in enumerate(some.levels):
        for index, layer in enumerate(level.layers[:-1]):
            is_nested = layer.kernel.startswith("nested")
            if not is_nested and position != len(some.levels) - 1:
                continue
            on_core: dict[str, LayerCost] = {
                core: bench.levels[position].layers[index] for core, bench in on.items()
            }
            density = KERNEL_DENSITIES[position] if is_nested else 1.0
            yield KernelRow(
                layer=layer.name,
                kernel=layer.kernel,
                density=density,
                units=layer.macs or outputs[layer.name],
                unit="MAC" if layer.macs else "output",
                instructions={core: cost.instructions or 0 for core, cost in on_core.items()},
                cycles={c: least(cost.cycles) for c, cost in on_core.items()},
                beside=PROTOTYPE.get((layer.name, density), ""),
            )


def layer_rows(on: dict[str, Bench]) -> list[dict[str, Any]]:
    """Return the layers of a network with cycles on each core, densest level."""
    some = next(iter(on.values()))
    return [
        {
            "layer": layer.name,
            "kernel": layer.kernel,
            "macs": layer.macs,
            "cycles": {
                core: least(bench.levels[-1].layers[index].cycles) for core, bench in on.items()
            },
        }
        for index, layer in enumerate(some.levels[-1].layers)
    ]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure everything."""
    torch.set_num_threads(1)
    results: dict[str, dict[str, Bench]] = {}
    with tempfile.TemporaryDirectory() as name:
        for network, (model, sparsity, cores) in NETWORKS.items():
            print(network, flush=True)
            graph = untrained(model, sparsity=sparsity)
            results[network] = benches(graph, network, cores, Path(name))
        print(KERNELS, flush=True)
        kernels = list(kernel_rows(benches(kernel_graph(), KERNELS, tuple(CORES), Path(name))))
        rows = list(bar_rows(results))
    yield {
        "estimators": {core: bench.estimator for core, bench in results["resnet8"].items()},
        "bars": [{**asdict(row), "met": row.met} for row in rows],
        "kernels": [asdict(row) for row in kernels],
        "layers": {network: layer_rows(on) for network, on in results.items()},
    }


def bar_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the bars as a Markdown table."""
    lines = []
    for row in rows:
        sign = "at least" if row["at_least"] else "at most"
        met = "yes" if row["met"] else f"**no**, {abs(row['value'] / row['bar'] - 1):.1%} off"
        cells = [row["what"], row["core"], spaced(row["value"]), f"{sign} {spaced(row['bar'])}"]
        lines.append([*cells, met, row["beside"]])
    return table(["what", "core", "now", "bar", "met", "beside (M4 / M7)"], lines)


def kernel_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the kernels as a Markdown table, figures per unit of work."""
    heads = ["layer", "kernel", "density", "work"]
    heads += [
        f"{core} {what}" for core in CORES for what in ("instructions", "cycles", "per cycle")
    ]
    lines = []
    for row in sorted(rows, key=lambda row: (row["unit"], row["layer"], -row["density"])):
        units, cycles = row["units"], row["cycles"]
        cells = [row["layer"], row["kernel"], f"{row['density']:.0%}"]
        cells += [f"{spaced(units)} {row['unit']}"]
        for core in CORES:
            cells += [f"{row['instructions'][core] / units:.3f}", f"{cycles[core] / units:.3f}"]
            cells += [f"{units / cycles[core]:.2f}"]
        total = " / ".join(spaced(cycles[core]) for core in CORES)
        lines.append([*cells, total, row["beside"]])
    return table([*heads, "total M4 / M7", "beside"], lines)


def layer_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the layers of a network with cycles and rates on each core."""
    lines = []
    for row in rows:
        cells = [row["layer"], row["kernel"], spaced(row["macs"])]
        for low in row["cycles"].values():
            rate = f"{row['macs'] / low:.2f}" if row["macs"] and low else ""
            cells += [spaced(low), rate]
        lines.append(cells)
    heads = [head for core in rows[0]["cycles"] for head in (f"{core} cycles", "MAC/cycle")]
    return table(["layer", "kernel", "MACs", *heads], lines)


def page(findings: Mapping[str, Any]) -> str:
    """Return the tables of bars, kernels and layers."""
    bars = findings["bars"]
    models = "\n".join(f"- {core}: {text}" for core, text in findings["estimators"].items())
    layers = "\n\n".join(
        f"### {name}\n\n{layer_table(rows)}" for name, rows in findings["layers"].items()
    )
    return f"""# Speed and memory beside the bars

{sum(row["met"] for row in bars)} of {len(bars)} bars met. Cycles are estimated, not measured, at
zero wait states (docs/cycles.md), of code that gcc compiled at `-O3`:

{models}

Networks have random weights, groups of 1x4 and the given sparsity over all prunable layers; first
and last layer are dense. "Beside" are the peers' figures for the same network: CMSIS-NN estimated
by the same model, closed tools and published kernels on boards.

{bar_table(bars)}

## Kernels
One chain of layers, 16x16x32 to 32 channels where nothing else is said. Per unit of work done:
instructions, estimated cycles, and units per cycle.

{kernel_table(findings["kernels"])}

## Layers
Densest level of each network.

{layers}
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the bars that are missed."""
    return [f"{row['what']}, {row['core']}: missed" for row in findings["bars"] if not row["met"]]
