"""What nn_fit_cycles goes by if nobody says: bench's estimate, or a formula that stays above it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codegen import flow
from codegen.emit import level_cycles, project
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_images
from codegen.lower import lowering
from codegen.measure import auto_cycles
from codegen.measure import bench as benches
from codegen.program import manifest
from codegen.program.manifest import ProjectInfo
from codegen.target import boards, toolchain

from .conftest import SHA256, need_tools, small_graph

CHIPS = {"qemu_m4": ("qemu_m4", "stm32f4", "stm32l4"), "qemu_m7": ("qemu_m7", "stm32f7")}


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a network's file; nothing is kept from earlier."""
    need_tools("qemu_m4")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph(), path)
    return path


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
    assert "not measured" in (tmp_path / "out" / "model.h").read_text()

    def again(*_: object) -> None:
        raise AssertionError("estimated twice")

    monkeypatch.setattr(benches, "level_cycles", again)
    made = flow.codegen(network, "stm32l4", tmp_path / "second")
    assert (made / "model.c").read_bytes() == (tmp_path / "out" / "model.c").read_bytes()


def test_of_a_range_the_upper_end_is_taken(network: Path, tmp_path: Path) -> None:
    info = manifest.read_info(flow.codegen(network, "stm32f7", tmp_path / "out"))
    images = random_images(small_graph(), 1, seed=0)
    bench = flow.bench(network, "stm32f7", images, out=tmp_path / "bench")
    assert cycles(info) == [level.cycles.high for level in bench.levels]
    assert info.cycles_source.endswith("; upper end")


def test_a_damaged_cache_is_made_anew(network: Path, tmp_path: Path) -> None:
    first = manifest.read_info(flow.codegen(network, "qemu_m4", tmp_path / "one"))
    (kept,) = (tmp_path / "cache" / "nestnet" / "cycles").iterdir()
    kept.write_text("{")
    assert manifest.read_info(flow.codegen(network, "qemu_m4", tmp_path / "two")) == first


@pytest.mark.parametrize("tool", auto_cycles.TOOLS)
def test_without_tools_the_analytic_model_is_said(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
    out = flow.codegen(network, "stm32f4", tmp_path / "out")
    plain = flow.codegen(network, "stm32f4", tmp_path / "plain", cycles=flow.ANALYTIC)
    assert (out / "model.c").read_bytes() == (plain / "model.c").read_bytes()
    assert "analytic model" in (out / "model.h").read_text()


@pytest.mark.parametrize("emulator", CHIPS)
def test_the_analytic_model_stays_above_the_estimate(tmp_path: Path, emulator: str) -> None:
    need_tools(emulator)
    graph = small_graph()
    built = toolchain.build(project.write(graph, SHA256, boards.load(emulator), tmp_path / "out"))
    images = random_images(graph, 1, seed=0)
    for name in CHIPS[emulator]:
        chip = boards.load(name)
        spans, _ = benches.level_cycles(built, images, range(2), chip)
        reckoned = level_cycles.analytic(lowering.lower(graph), chip).cycles
        assert all(span.high <= above for span, above in zip(spans, reckoned, strict=True)), name


def test_building_replaces_the_analytic_cycles(network: Path, tmp_path: Path) -> None:
    out = flow.codegen(network, "qemu_m7", tmp_path / "out", cycles=flow.ANALYTIC)
    before = manifest.read_info(out)
    assert manifest.read_info(flow.prepare(network, "qemu_m7", out)) == before, "run keeps them"
    flow.prepare(network, "qemu_m7", out, cycles=flow.AUTO)
    after = manifest.read_info(out)
    assert "analytic" not in after.cycles_source and cycles(after) != cycles(before)
    flow.prepare(network, "qemu_m7", out)
    assert manifest.read_info(out) == after
