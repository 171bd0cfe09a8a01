"""What nn_fit_cycles goes by if nobody says: bench's estimate, or a formula that stays above it."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from codegen import flow
from codegen.emit import level_cycles, project
from codegen.graph import file as nestfile
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import random_images
from codegen.lower import lowering
from codegen.measure import auto_cycles
from codegen.measure import bench as benches
from codegen.target import boards, manifest, toolchain
from codegen.target.manifest import ProjectInfo
from codegen.target.target import resolve
from nestnet.cli import bench_tables
from tests.support.projects import SHA256, need_tools, small_graph

CHIPS = {"qemu_m4": ("qemu_m4", "stm32f4", "stm32l4"), "qemu_m7": ("qemu_m7", "stm32f7", "stm32h7")}


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a network's file; nothing is kept from earlier."""
    need_tools("qemu_m4")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph(), path)
    return path


def same(kernel: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the padding with which the map keeps its size."""
    return (kernel[0] - 1) // 2, (kernel[1] - 1) // 2, kernel[0] // 2, kernel[1] // 2


def depthwise_graph() -> Graph:
    """Return depthwise kernels with and without tiles, of even and odd extents."""
    net = GraphBuilder((13, 14, 5), 1, 1)
    last = "input"
    for kernel in ((3, 3), (5, 5), (2, 3), (5, 3), (7, 3), (3, 7), (1, 1), (2, 2), (4, 4), (7, 7)):
        last = net.conv(last, 5, kernel, padding=same(kernel), groups=5)
    for stride in ((1, 2), (2, 1), (1, 3)):
        last = net.conv(last, 5, (3, 3), stride=stride, padding=(1, 1, 1, 1), groups=5)
    return net.graph()


def other_graph() -> Graph:
    """Return grouped, dense and pooling layers whose channels come in fours, and those left."""
    net = GraphBuilder((17, 18, 6), 1, 1)
    last = net.pool("input", AvgPool, (15, 16), (1, 1))
    last = net.pool(last, AvgPool, (16, 16), (1, 1), (7, 7, 8, 8))  # more than 255 elements
    for kernel, channels, groups in (
        ((3, 3), 9, 3),
        ((1, 1), 6, 3),
        ((3, 3), 4, 2),
        ((3, 3), 8, 4),
    ):
        last = net.conv(last, channels, kernel, padding=same(kernel), groups=groups)
    last = net.conv(last, 8, (3, 3), padding=(1, 1, 1, 1), groups=8, residual=last)
    for channels in (7, 1, 3, 5, 16):
        conv = net.conv(last, channels, (3, 3), padding=(1, 1, 1, 1))
        for kernel in ((1, 1), (2, 2), (3, 3)):
            last = net.pool(conv, MaxPool, kernel, (1, 1), same(kernel))
            conv = net.pool(last, AvgPool, kernel, (1, 1), same(kernel))
        last = net.add(net.conv(conv, channels, (1, 1)), last)
    for channels in (64, 3, 64, 1):
        last = net.linear(last, channels)
    last = net.reshape(last, (1, 1, 1))
    for channels in (64, 3, 61):
        last = net.conv(last, channels, (1, 1))
    net.softmax(last)
    return net.graph()


def nested_graph() -> Graph:
    """Return nested layers at 16 levels: the sparsest walk next to nothing."""
    densities = tuple(index / 17 for index in range(1, 17))
    net = GraphBuilder((5, 11, 8), 16, 1)
    last = "input"
    for group in (4, 2, 1):
        for kernel in ((3, 3), (1, 1)):
            last = net.conv(last, 8, kernel, padding=same(kernel), group=group, densities=densities)
    last = net.conv(last, 5, (1, 1), group=4, densities=densities)
    last = net.pool(last, AvgPool, (5, 11), (1, 1))
    for group in (4, 2, 1):
        last = net.linear(last, 31, group=group, densities=densities)
    return net.graph()


def cycles(info: ProjectInfo) -> list[int]:
    return [level.cycles for level in info.levels]


def test_generated_code_holds_the_estimate(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = manifest.read_info(flow.codegen(network, "stm32l4", tmp_path / "out"))
    images = random_images(small_graph(), 1, seed=0)
    bench = flow.bench(network, "stm32l4", images, out=tmp_path / "bench")
    assert cycles(first) == [level.cycles.high for level in bench.levels]
    assert first.cycles_source == bench.estimator
    assert "not measured" in (tmp_path / "out" / "library/model.h").read_text()

    def again(*_: object) -> None:
        raise AssertionError("estimated twice")

    monkeypatch.setattr(benches, "level_cycles", again)
    made = flow.codegen(network, "stm32l4", tmp_path / "second")
    assert (made / "library/model.c").read_bytes() == (
        tmp_path / "out" / "library/model.c"
    ).read_bytes()


def test_of_a_range_the_upper_end_is_taken(network: Path, tmp_path: Path) -> None:
    info = manifest.read_info(flow.codegen(network, "stm32f7", tmp_path / "out"))
    images = random_images(small_graph(), 1, seed=0)
    bench = flow.bench(network, "stm32f7", images, out=tmp_path / "bench")
    assert cycles(info) == [level.cycles.high for level in bench.levels]
    assert info.cycles_source.endswith("; upper end")


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        '{"cycles": [5], "source": "x"}',
        '{"cycles": [-5, 99999999999], "source": "x"}',
        '{"cycles": ["5", 6.5], "source": "x"}',
        '{"cycles": [5, 6], "source": null}',
    ],
)
def test_a_damaged_cache_is_made_anew(network: Path, tmp_path: Path, damage: str) -> None:
    first = manifest.read_info(flow.codegen(network, "qemu_m4", tmp_path / "one"))
    (kept,) = (tmp_path / "cache" / "nestnet" / "cycles").iterdir()
    whole = kept.read_text()
    kept.write_text(damage)
    assert manifest.read_info(flow.codegen(network, "qemu_m4", tmp_path / "two")) == first
    assert kept.read_text() == whole


def test_the_cache_knows_every_file_that_decides() -> None:
    names = {path.name for path in auto_cycles._sources()}
    assert {"cost.py", "lowering.py", "pricer_m4.py", "nn_depthwise_conv.h", "model.c.j2"} <= names


@pytest.mark.parametrize("tool", auto_cycles.TOOLS)
def test_without_tools_the_analytic_model_is_said(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
    out = flow.codegen(network, "stm32f4", tmp_path / "out")
    plain = flow.codegen(network, "stm32f4", tmp_path / "plain", cycles=flow.ANALYTIC)
    assert (out / "library/model.c").read_bytes() == (plain / "library/model.c").read_bytes()
    assert "analytic model" in (out / "library/model.h").read_text()


@pytest.mark.parametrize("emulator", CHIPS)
def test_the_analytic_model_stays_above_the_estimate(tmp_path: Path, emulator: str) -> None:
    need_tools(emulator)
    """Every kernel on both sides of each condition for its fast path, layer by layer."""
    need_tools(emulator)
    for number, graph in enumerate(
        (small_graph(), depthwise_graph(), other_graph(), nested_graph())
    ):
        folder = tmp_path / str(number)
        built = toolchain.build(project.write(graph, SHA256, resolve(emulator), folder))
        images = random_images(graph, 1, seed=0)
        levels = range(len(graph.levels))
        packed = lowering.lower(graph, resolve("host"))
        for name in CHIPS[emulator]:
            chip = boards.load(name)
            spans, _ = benches.level_cycles(built, (images,), levels, chip)
            reckoned = level_cycles.analytic(replace(packed, target=resolve(chip))).cycles
            assert all(span.high <= top for span, top in zip(spans, reckoned, strict=True)), name
        measured = benches.measure(built, (images,), levels)
        below = [
            f"{layer.name} ({layer.kernel}): {spent.cycles.high} > {top}"
            for level in measured.levels
            for layer, spent in zip(packed.layers, level.layers, strict=False)
            for top in [level_cycles.bound(layer.levels[level.level], 1, built.info.target)]
            if spent.cycles is not None and spent.cycles.high > top
        ]
        assert not below, below


@pytest.mark.parametrize("board_id", ["qemu_m0", "qemu_m3"])
def test_cycles_of_a_core_without_a_model_are_not_known(
    network: Path, tmp_path: Path, board_id: str
) -> None:
    need_tools(board_id)
    images = random_images(small_graph(), 1, seed=0)
    made = flow.bench(network, board_id, images, out=tmp_path / "out")
    report = json.loads(json.dumps(made.as_json()))
    for level in report["levels"]:
        assert level["instructions"] > 0 and level["cycles"] is None and level["ms"] is None
        assert {layer["cycles"] for layer in level["layers"]} == {None}
    assert cycles(manifest.read_info(tmp_path / "out")) == [level_cycles.UNKNOWN] * 2
    assert "NN_ERR_BUDGET" in (tmp_path / "out" / "library/model.h").read_text()
    assert "| not known |" in (tmp_path / "out" / "README.md").read_text()
    console = Console(file=io.StringIO(), width=250)
    console.print(bench_tables.as_table(made))
    rows = console.file.getvalue()  # type: ignore[attr-defined]
    assert "not measured" not in rows and f"not known ({level_cycles.UNKNOWN})" in rows
    bench_tables.as_csv(made)


def test_building_replaces_the_analytic_cycles(network: Path, tmp_path: Path) -> None:
    out = flow.codegen(network, "qemu_m7", tmp_path / "out", cycles=flow.ANALYTIC)
    before = manifest.read_info(out)
    assert manifest.read_info(flow.prepare(network, "qemu_m7", out)) == before, "run keeps them"
    flow.prepare(network, "qemu_m7", out, cycles=flow.AUTO)
    after = manifest.read_info(out)
    assert "analytic" not in after.cycles_source and cycles(after) != cycles(before)
    flow.prepare(network, "qemu_m7", out)
    assert manifest.read_info(out) == after
