"""The CMSIS-NN flavour, linked against a plain-C double of the functions it calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codegen import flow
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import random_graph, random_images
from codegen.lower import lowering
from codegen.measure import compare
from codegen.measure.bench import OTHER
from codegen.target import toolchain
from codegen.target.target import resolve
from tests.support.cmsis_nn.double import DOUBLE, variables
from tests.support.projects import SHA256, need_tools


def mixed_graph() -> Graph:
    """Return a network with a layer for each CMSIS-NN function, and a nested layer between."""
    net = GraphBuilder((11, 13, 3), 3, 5, "mixed")
    stem = net.conv("input", 8, (3, 5), stride=(2, 1), padding=(1, 2, 1, 2))
    nested = net.conv(
        stem, 8, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.4, 0.7), residual=stem
    )
    depthwise = net.conv(nested, 8, (3, 3), padding=(1, 1, 1, 1), groups=8)
    pointwise = net.conv(depthwise, 7, (1, 1), relu=False)
    pooled = net.pool(pointwise, MaxPool, (3, 2), (2, 3), (1, 0, 0, 1))
    net.linear(pooled, 10)
    return net.graph()


@pytest.mark.parametrize("board_id", ["host", "qemu_m4", "qemu_m7"])
@pytest.mark.parametrize("graph", [mixed_graph(), random_graph(31, blocks=6)], ids=["mixed", "31"])
def test_cmsis_flavour_equals_the_reference(tmp_path: Path, board_id: str, graph: Graph) -> None:
    need_tools(board_id)
    folder = project.write(graph, SHA256, resolve(board_id, kernels="cmsis-nn"), tmp_path / "out")
    built = toolchain.build(folder, variables(tmp_path, board_id))
    images = random_images(graph, 4, seed=2)
    made = compare.compare(built, graph, (images,), None, range(len(graph.levels)))
    assert made.kernels == "cmsis-nn"
    assert made.bit_exact, "\n".join(map(str, made.differences))


@pytest.mark.parametrize("board_id", ["qemu_m4", "stm32f7"])
def test_bench_attributes_the_library_to_its_layers(tmp_path: Path, board_id: str) -> None:
    """No core multiplies more than two pairs a cycle; what is left beside the layers is small."""
    need_tools("qemu_m4")
    graph = mixed_graph()
    path = tmp_path / "model.nestnet"
    nestfile.save(graph, path)
    bench = flow.bench(
        path,
        board_id,
        random_images(graph, 2, seed=2),
        out=tmp_path / "out",
        kernels="cmsis-nn",
        variables=variables(tmp_path, board_id),
    )
    for level in bench.levels:
        *layers, other = level.layers
        assert other.name == OTHER and other.cycles is not None
        assert 0 <= other.cycles.low < 0.1 * level.cycles.low
        assert sum(layer.instructions or 0 for layer in level.layers) == level.instructions
        assert sum(layer.cycles.low for layer in level.layers if layer.cycles) == level.cycles.low
        for layer in layers:
            assert layer.cycles is not None and layer.cycles.low > layer.macs / 2, layer.name
            assert (layer.instructions or 0) > layer.macs / 2, layer.name


def test_paths_may_be_relative_and_a_change_links_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tools("host")
    folder = project.write(
        mixed_graph(), SHA256, resolve("host", kernels="cmsis-nn"), tmp_path / "out"
    )
    variables(tmp_path, "host")
    (tmp_path / "include").symlink_to(DOUBLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMSIS_NN_INCLUDE", "include")
    monkeypatch.setenv("CMSIS_NN_LIB", "double.o")
    built = toolchain.build(folder)
    first = built.runner_elf.stat().st_mtime_ns
    assert toolchain.build(folder).runner_elf.stat().st_mtime_ns == first, "nothing changed"
    (tmp_path / "double.o").rename(tmp_path / "other.o")  # as old as before
    monkeypatch.setenv("CMSIS_NN_LIB", "other.o")
    assert toolchain.build(folder).runner_elf.stat().st_mtime_ns > first
    linked = toolchain.build(folder, {"EXTRA_LDFLAGS": "-Wl,--defsym=nn_extra=1"}).runner_elf
    names = subprocess.run(["nm", linked], capture_output=True, text=True, check=True).stdout
    assert "nn_extra" in names


def test_every_function_is_called(tmp_path: Path) -> None:
    kernels = {
        layer.kernel
        for layer in lowering.lower(mixed_graph(), resolve("host", kernels="cmsis-nn")).layers
    }
    assert kernels == {
        "cmsis_conv",
        "nested_conv",
        "cmsis_depthwise_conv",
        "cmsis_max_pool",
        "cmsis_linear",
    }


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("host")
    for name in ("CMSIS_NN_INCLUDE", "CMSIS_NN_LIB"):
        monkeypatch.delenv(name, raising=False)
    folder = project.write(
        mixed_graph(), SHA256, resolve("host", kernels="cmsis-nn"), tmp_path / "out"
    )
    with pytest.raises(UserError, match="Set CMSIS_NN_INCLUDE and CMSIS_NN_LIB"):
        toolchain.build(folder)
    monkeypatch.setenv("CMSIS_NN_INCLUDE", str(DOUBLE))
    with pytest.raises(UserError, match="CMSIS_NN_LIB: not set"):
        toolchain.build(folder)


@pytest.mark.parametrize("board_id", ["host", "stm32f7"])
def test_cleaning_needs_no_library(
    board_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CMSIS_NN_INCLUDE", raising=False)
    folder = project.write(
        mixed_graph(), SHA256, resolve(board_id, kernels="cmsis-nn"), tmp_path / "out"
    )
    (folder / "build").mkdir()

    def make(goal: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-C", str(folder), goal]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = make("clean")
    assert done.returncode == 0, done.stderr
    assert not (folder / "build").exists()
    assert "set CMSIS_NN_INCLUDE" in make("library").stderr
