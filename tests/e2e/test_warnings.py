"""Warnings that other projects turn on, and clang's analyzer, find nothing in a project's C."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from codegen.emit import project
from codegen.target import boards
from codegen.target.target import resolve
from tests.support.projects import SHA256, need_tools, small_graph

STRICT = ("-Wredundant-decls", "-Wswitch-default", "-Wcast-align=strict", "-Wundef")


def generate(board_id: str, folder: Path) -> list[str]:
    """Write a project with coded streams; return its C files."""
    target = resolve(board_id, optimize="size", codecs="all", decode="level")
    project.write(small_graph(), SHA256, target, folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.c"))


INCLUDES = ("-Ilibrary", "-Irig/port")
"""For the example and the test runner; the library needs no include path."""


@pytest.mark.parametrize("standard", ["-std=c99", "-std=c11"])
@pytest.mark.parametrize("board_id", ["host", "qemu_m4", "qemu_m7"])
def test_strict_warnings(board_id: str, standard: str, tmp_path: Path) -> None:
    need_tools(board_id)
    core = boards.load(board_id).core
    compiler = "gcc" if board_id == "host" else "arm-none-eabi-gcc"
    for file in generate(board_id, tmp_path):
        command = [compiler, *core.cpu_flags, standard, "-O2", "-Wall", *STRICT, "-Werror"]
        done = subprocess.run(
            [*command, *INCLUDES, "-c", file, "-o", "x.o"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_the_static_analyzer(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    for file in generate("host", tmp_path):
        done = subprocess.run(
            ["clang", "--analyze", "-Xclang", "-analyzer-werror", *INCLUDES, file],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
