"""Executed instructions of the kernels: the bars of the design, and no regression."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from codegen.measure.pipelines import loops
from tests.firmware import bench
from tests.support.firmware import contracts
from tests.support.firmware.cases import compare, depthwise, nested, weighted
from tests.support.firmware.oracle import Shape
from tests.support.firmware.rig import FIRMWARE, run_m4

pytestmark = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None,
    reason="needs arm-none-eabi-gcc and qemu-system-arm",
)

# 3x3, 16x16x32 to 32, one level: what the prototype executed, by group and density in per cent.
PROTOTYPE = {
    (4, "100"): 3_560_000,
    (4, "50"): 1_860_000,
    (4, "25"): 1_020_000,
    (4, "12.5"): 590_000,
    (2, "100"): 4_230_000,
    (2, "50"): 2_210_000,
    (2, "25"): 1_160_000,
    (2, "12.5"): 620_000,
    (1, "50"): 3_330_000,
    (1, "25"): 1_730_000,
    (1, "12.5"): 890_000,
}
CMSIS_NN_DENSE = 4_580_000
NESTED_50 = "nested 3x3 G=4 P=4 50 %"

# Instructions of the other layers, with 3 % to spare for another compiler of the same series.
OTHERS = {
    "dense 3x3 P=2": 2_861_000,
    "dense 3x3 P=3": 2_600_000,
    "dense 1x1 32->32 P=3": 327_000,
    "dense 3x3 32x32x3->16 P=3": 713_000,
    "nested + residual G=4 P=4 25 %": 1_033_000,
    "depthwise 3x3 16x16x32": 128_000,
    "depthwise 3x3 stride 2": 48_800,
    "dense linear 256->64": 26_000,
    "nested linear G=4 25 %": 13_600,
    "normalize 256 x 32": 166_500,
    "normalize 8192": 118_300,
    "add 8192": 67_600,
    "mul 8192": 51_200,
    "mul 256 x 32, by channel": 46_100,
    "mul 256 x 32, by position": 34_600,
    "concat 256 x 4 + 4": 1_804,
    "concat 256 x 8 + 8": 3_084,
    "concat 256 x 16 + 16": 2_313,
    "concat 256 x 32 + 64": 6_153,
    "concat 256 x 16 + 16, anywhere": 4_617,
    "concat 256 x 64 + 64, anywhere": 18_441,
    "pad 16x16x32 by 1": 2_000,
    "pad 16x16x8 by 1": 630,
    "pad 16x16x32 by 1, anywhere": 8_030,
    "pad channels 256 x 16 to 32": 2_880,
    "slice 256 x 4 of 8": 850,
    "slice 256 x 8 of 16": 1_310,
    "slice 256 x 16 of 32": 1_180,
    "slice 256 x 16 of 32, anywhere": 2_350,
    "slice 256 x 64 of 128": 3_650,
    "nearest 8x8x4": 250,
    "nearest 8x8x16": 755,
    "nearest 8x8x64": 2_400,
    "shuffle 256 x 2 x 16": 17_700,
    "turn 256 x 16": 12_600,
    "bilinear 8x8x32 to 16x16": 147_500,
    "lookup 8192": 34_900,
    "matmul 4 x 64x32 by rows 64": 639_600,
    "matmul 4 x 64x64 by columns 32": 648_900,
    "matmul 2 x 17x16 by rows 17": 14_950,
    "matmul 2 x 17x17 by columns 16": 20_100,
    "max pool 2x2 16x16x32": 7_100,
    "avg pool 8x8x64": 4_050,
    "avg pool 3x3 8x8x32, padding counted": 62_350,
    "avg pool 13x13x32 to 5x5": 32_600,
    "max pool 13x13x32 to 5x5": 22_650,
    "softmax 10": 178,
    "softmax 64 x 64": 77_600,
    "grouped 3x3, 4 groups": 2_600_000,
}


def test_every_kernel_has_a_bar() -> None:
    layers = {**bench.nested_layers(), **bench.other_layers()}
    barred = {case.macro.lower() for name, case in layers.items() if name in {NESTED_50, *OTHERS}}
    assert barred == set(contracts.names())


def test_nested_layers_meet_the_prototype(tmp_path: Path) -> None:
    measured = bench.measure(bench.nested_layers(), tmp_path)
    for (group, density), bar in PROTOTYPE.items():
        tile = 8 if group == 1 else 4
        (count,) = measured[f"nested 3x3 G={group} P={tile} {density} %"]
        assert count <= bar, f"G={group} at {density} %: {count} instructions, bar {bar}"


def test_other_layers_stay_within_budget(tmp_path: Path) -> None:
    measured = bench.measure(bench.other_layers(), tmp_path)
    assert measured["dense 3x3 P=3"][0] <= 0.58 * CMSIS_NN_DENSE
    for name, budget in OTHERS.items():
        (count,) = measured[name]
        assert count <= 1.03 * budget, f"{name}: {count} instructions, budget {budget}"
        assert count >= 0.8 * budget, f"{name}: {count} is much better than {budget}: lower it"


@pytest.mark.parametrize("core", sorted(bench.MACHINES))
def test_cycles_are_estimated_for_every_level(core: str, tmp_path: Path) -> None:
    name = "nested 4 levels G=4 P=4 50 %"
    layers = bench.other_layers()
    found = bench.costs({name: layers[name], "softmax": layers["softmax 10"]}, tmp_path, core)
    cycles = [cost.cycles.low for cost in found[name]]
    assert len(cycles) == 4 and cycles == sorted(cycles) and len(found["softmax"]) == 1
    (last,) = found["softmax"]
    assert last.instructions < last.cycles.low < 3 * last.instructions < cycles[0]


def test_levels_cost_little_more_than_the_densest_alone(tmp_path: Path) -> None:
    name = "nested 4 levels G=4 P=4 50 %"
    layers = {name: bench.other_layers()[name], "alone": bench.nested_layers()[NESTED_50]}
    measured = bench.measure(layers, tmp_path)
    assert list(measured[name]) == sorted(measured[name])
    assert measured[name][-1] <= 1.05 * measured["alone"][0]


@pytest.mark.parametrize("machine", ["mps2-an386", "mps2-an500"])
@pytest.mark.parametrize("name", ["depthwise 3x3 16x16x32", "depthwise 3x3 stride 2"])
def test_instructions_fall_with_the_channels_of_a_level(
    name: str, machine: str, tmp_path: Path
) -> None:
    """What is left is the share of the channels that the level has, and one store for four."""
    s, band = bench.DEPTHWISE[name]
    rng = np.random.default_rng(3)
    shares = (0, 16, 24, 32)
    cases = [weighted(rng, "DEPTHWISE_CONV", s, groups=s.in_c, tile=band, plain=True)]
    cases += [
        depthwise(rng, s, band, (np.arange(s.in_c) < gone).astype(np.int64), levels=2, plain=True)
        for gone in shares
    ]
    scattered = rng.permutation(np.arange(s.in_c) < 16).astype(np.int64)
    cases.append(depthwise(rng, s, band, scattered, levels=2, plain=True))
    result = run_m4(cases, tmp_path, machine=machine)
    assert compare(cases, result.outputs) == []
    whole, *counts = result.instructions
    sparse, dense = counts[0:8:2], counts[1:8:2]
    assert max(dense) <= 1.02 * whole, "asking for the level costs next to nothing"
    fill = sparse[-1] / whole
    assert fill <= 0.08, f"{sparse[-1]} instructions without any channel"
    for gone, count in zip(shares, sparse, strict=True):
        share = gone / s.in_c
        assert count / whole == pytest.approx(1 - share + share * fill, abs=0.02), f"{gone} gone"
    assert counts[-2] / whole <= 0.7, "half of the channels, scattered over the quads"


def test_inner_loops_are_as_long_as_their_comments_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    s = Shape(2, 8, 8, 2, 8, 4, 3, 3, 1, 1, 1, 1)
    tiles = [(4, p, 7 + 4 * p, 4 * p) for p in (1, 2, 3, 4, 5, 6)]
    tiles += [(2, p, 9 + 4 * p, 4 * p) for p in (1, 2, 3, 4, 5, 6)]
    tiles += [(1, p, 5 + 2 * p, p) for p in range(1, 9)]
    cases = [nested(rng, s, group, p, (0.5,)) for group, p, _, _ in tiles]
    # Rows of 72 weights: four times 24 instructions for 24 products, or 18 for 16, and 3 to loop.
    cases.append(weighted(rng, "DENSE_CONV", s, tile=3))
    cases.append(weighted(rng, "DENSE_CONV", s, tile=2))
    # Two tiles: 36 products in 24, 4 to requantize, 8 loads, 13 others; 3 to loop.
    same = Shape(4, 8, 4, 4, 8, 4, 3, 3, 1, 1, 1, 1)
    cases.append(weighted(rng, "DEPTHWISE_CONV", same, groups=4, tile=4, plain=True))
    wanted = [(length, products) for _, _, length, products in tiles]
    wanted += [(99, 96), (75, 64), (101, 80)]
    run_m4(cases, tmp_path, measure=False)
    for index, (length, products) in enumerate(wanted):
        found = {
            (len(loop.instructions), loop.multiplies)
            for loop in loops.find(tmp_path / "harness.elf", f"case_{index}")
        }
        assert (length, products) in found, f"{cases[index].name}: {sorted(found)}"


@pytest.mark.parametrize(
    ("core", "kernels", "machine"),
    [("cortex-m4", "dsp", "mps2-an386"), ("cortex-m7", "m7", "mps2-an500")],
)
def test_walks_take_the_cycles_of_their_comments(
    core: str, kernels: str, machine: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    s = Shape(1, 17, 32, 1, 17, 4, 3, 3, 1, 1, 1, 1)
    promise = re.compile(r"/\* (\d) columns?: (\d+) instructions, ([\d.]+) cycles a ")
    wanted = [
        (group, *found)
        for group in (4, 2, 1)
        for found in promise.findall(
            (FIRMWARE / f"core/walk/nn_walk_asm_{group}_{kernels}.h").read_text()
        )
    ]
    assert len(wanted) == 6 + 6 + 8
    cases = [nested(rng, s, group, int(columns), (0.5,)) for group, columns, _, _ in wanted]
    run_m4(cases, tmp_path, measure=False, machine=machine)
    for index, (group, columns, length, cycles) in enumerate(wanted):
        found = {
            (len(loop.instructions), loop.cycles(core))
            for loop in loops.find(tmp_path / "harness.elf", f"case_{index}")
        }
        name = f"groups of {group}, {columns} columns"
        assert (int(length), float(cycles)) in found, f"{name}: {sorted(found)}"
