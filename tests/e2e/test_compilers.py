"""A sample of the ways to build a project; ``python -m experiments compilers`` runs all."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.emit import project, render
from codegen.target import boards
from codegen.target.target import resolve
from tests.e2e import compilers
from tests.e2e.compilers import NETWORKS, WAYS, Way
from tests.support.projects import SHA256, WARNINGS, need_tools

SAMPLE = (
    ("gcc -O0", "qemu_m4", "mixed"),
    ("gcc -O3 -flto", "qemu_m4", "coded"),
    ("gcc C99", "qemu_m4", "mixed"),
    ("gcc -O0 frame pointer", "qemu_m7", "mixed"),
    ("gcc soft float", "qemu_m4", "mixed"),
    ("gcc softfp", "qemu_m4", "mixed"),
    ("gcc -O3", "qemu_m0", "mixed"),
    ("gcc -O3", "qemu_m3", "coded"),
    ("gcc -O3", "qemu_m33", "mixed"),
    ("gcc -O3", "qemu_m55", "mixed"),
    ("clang -O3", "qemu_m4", "mixed"),
    ("clang -Os", "qemu_m7", "coded"),
    ("clang -O3", "qemu_m0", "mixed"),
)
"""Name of a way, the compiler's version left out, its board, and a network."""


def way_called(name: str, board_id: str) -> Way:
    """Return a way by name; skip the calling test where its compiler is missing."""
    need_tools(board_id)
    clang = (compilers.clangs() or [""])[0]
    if name.startswith("clang") and not clang:
        pytest.skip("clang is not installed")
    name = name.replace("clang", clang)
    (way,) = (way for way in WAYS if (way.name, way.board) == (name, board_id))
    return way


@pytest.mark.parametrize(("name", "board_id", "network"), SAMPLE)
def test_bits_and_stack_are_as_promised(
    name: str, board_id: str, network: str, tmp_path: Path
) -> None:
    outcome = compilers.build_and_run(way_called(name, board_id), network, tmp_path)
    assert outcome.exact
    assert 0 < outcome.stack_bytes <= outcome.bound_bytes <= render.STACK_BYTES


def test_stack_beyond_the_bound_is_noticed(tmp_path: Path) -> None:
    """Kernels that really are not optimized need kilobytes."""
    way = way_called("gcc -O0, kernels too", "qemu_m4")
    outcome = compilers.build_and_run(replace(way, bounded=True), "mixed", tmp_path)
    assert outcome.exact and not outcome.holds
    assert outcome.stack_bytes > render.STACK_BYTES > outcome.bound_bytes


def test_clang_without_optimization_warns(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    graph, _ = NETWORKS["mixed"]
    made = project.write(graph, SHA256, resolve("qemu_m4"), tmp_path / "p")
    command = ["clang", "-O0", "-fsyntax-only", "library/model.c"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=True)
    assert "without optimization take some 10 KB" in done.stderr


@pytest.mark.parametrize("kernels", ["dsp", "portable"])
def test_the_analyzer_finds_nothing(kernels: str, tmp_path: Path) -> None:
    need_tools("qemu_m4")
    graph, _ = NETWORKS["mixed"]
    chip = boards.load("qemu_m4").chip
    made = project.write(graph, SHA256, resolve("qemu_m4"), tmp_path / "p")
    command = ["arm-none-eabi-gcc", *chip.compile_flags, "-std=c99", "-O2", *WARNINGS]
    command += ["-fanalyzer", f"-DNN_KERNELS={kernels}", "-c", "library/model.c", "-o", "x.o"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
