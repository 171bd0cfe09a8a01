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
    command = ["cc", "-std=c99", "-Wall", "-Werror", "-fsyntax-only", "-I.", "-Ifirmware"]
    command += ["-Ifirmware/kernels/portable", *flags, "model.c"]
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


@pytest.mark.parametrize(("folders", "flags", "warns"), [
    (("dsp", "portable"), (), False),
    (("portable", "dsp"), (), True),
    (("portable",), (), True),
    (("portable", "dsp"), ("-DNN_PORTABLE_KERNELS=1",), False),
    (("portable",), ("-mcpu=cortex-m3",), False),
])  # fmt: skip
def test_slow_kernels_on_a_fast_core_are_spoken_of(
    folders: tuple[str, ...], flags: tuple[str, ...], warns: bool, tmp_path: Path
) -> None:
    need_tools("qemu_m4")
    made = project.write(small_graph(), SHA256, resolve("qemu_m4"), tmp_path / "made")
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-std=c11", "-O1", *flags]
    command += ["-I.", "-Ifirmware", *(f"-Ifirmware/kernels/{folder}" for folder in folders)]
    done = subprocess.run(
        [*command, "-c", "model.c", "-o", "x.o"],
        cwd=made, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("slow portable kernels on a core with DSP" in done.stderr) == warns, done.stderr
