"""Assemble Thumb text for the pipeline models' tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen.measure.pipelines.decode import Instruction, decode

Assemble = Callable[[str], tuple[Instruction, ...]]

HEADER = ".syntax unified\n.thumb\n.cpu cortex-m7\n.fpu fpv5-d16\n.text\n"


@pytest.fixture
def assemble_bytes(tmp_path: Path) -> Callable[[str], bytes]:
    """Return a function from assembly text (``;`` or newline separated) to code bytes."""
    if shutil.which("arm-none-eabi-as") is None:
        pytest.skip("arm-none-eabi-as is not installed")

    def run(text: str) -> bytes:
        source, out, flat = (tmp_path / name for name in ("code.s", "code.o", "code.bin"))
        source.write_text(HEADER + text.replace(";", "\n") + "\n")
        subprocess.run(["arm-none-eabi-as", "-o", out, source], check=True)
        subprocess.run(
            ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", out, flat], check=True
        )
        return flat.read_bytes()

    return run


@pytest.fixture
def assemble(assemble_bytes: Callable[[str], bytes]) -> Assemble:
    """Return a function from assembly text to decoded instructions at address 0."""

    def run(text: str) -> tuple[Instruction, ...]:
        return decode(assemble_bytes(text), 0)

    return run
