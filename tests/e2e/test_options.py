"""What compile-time options do to a generated model: a wrong one does not compile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codegen.emit import project
from codegen.graph.verify import MAX_LEVELS
from codegen.target.target import resolve
from tests.support.projects import SHA256, need_tools, small_graph


def compile_model(made: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = ["cc", "-std=c99", "-Wall", "-Werror", "-fsyntax-only", *flags, "library/model.c"]
    return subprocess.run(command, cwd=made, capture_output=True, text=True, check=False)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return the project of a network with two levels."""
    need_tools("host")
    return project.write(small_graph(), SHA256, resolve("host"), tmp_path / "made")


def test_too_few_levels_do_not_compile(made: Path) -> None:
    done = compile_model(made, "-DNN_MAX_LEVELS=1")
    assert done.returncode != 0
    assert "NN_MAX_LEVELS is below the 2 levels of network tiny" in done.stderr
    assert compile_model(made, "-DNN_MAX_LEVELS=2").returncode == 0


def test_the_option_has_no_more_levels_than_a_model(made: Path) -> None:
    """The stack a model.h promises counts as many."""
    assert compile_model(made, f"-DNN_MAX_LEVELS={MAX_LEVELS}").returncode == 0
    done = compile_model(made, f"-DNN_MAX_LEVELS={MAX_LEVELS + 1}")
    assert done.returncode != 0 and f"NN_MAX_LEVELS must be 1..{MAX_LEVELS}" in done.stderr


@pytest.mark.parametrize(("board_id", "flags", "chosen"), [
    ("qemu_m4", (), "dsp"),
    ("qemu_m7", (), "m7"),
    ("qemu_m7", ("-DNN_KERNELS=dsp",), "dsp"),
    ("qemu_m7", ("-mcpu=cortex-m3",), "portable"),
    ("qemu_m0", (), "portable"),
])  # fmt: skip
def test_a_model_finds_its_kernels_without_any_flag(
    board_id: str, flags: tuple[str, ...], chosen: str, tmp_path: Path
) -> None:
    """The core's own aside: IDEs set no other. An M7's model.c says so, for compilers do not."""
    need_tools(board_id)
    made = project.write(small_graph(), SHA256, resolve(board_id), tmp_path / "made")
    core = resolve(board_id).board.core
    command = ["arm-none-eabi-gcc", *core.cpu_flags, *flags, "-std=c11", "-O1", "-dM", "-E"]
    done = subprocess.run(
        [*command, str(made / "library/model.c")], capture_output=True, text=True, check=True
    )
    bits = [f"#define NN_KERNELS_USE_{name} 1\n" in done.stdout for name in ("DSP", "M7")]
    assert bits == [chosen != "portable", chosen == "m7"]
