"""What comes before and after a network, on a core without products of 64 bits and an FPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codegen.emit import stack
from tests.support.firmware.rig import FIRMWARE, STANDARD, need, run_checked

LITTLE = {"__aeabi_idiv", "__aeabi_uidiv", "__aeabi_uidivmod", "__clzsi2", "memcpy", "memset"}
"""Divisions of 32 bits, a few an answer, and what every C library has."""
SHIFTS = {"__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr"}
ALSO = {
    "nn_detection": {"__aeabi_lmul"},  # two a pair of boxes that meet
    "nn_quantize": {
        *(f"__aeabi_f{name}" for name in ("sub", "mul", "2iz", "cmpge", "cmple", "cmplt")),
        "__aeabi_i2f",
    },  # raw numbers that are floats
}
FILES = sorted([*FIRMWARE.glob("tasks/*.c"), *FIRMWARE.glob("sources/*.c")])


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_stack_holds_every_function_of_a_file_at_once(
    path: Path, level: str, tmp_path: Path
) -> None:
    flags = ["-mcpu=cortex-m0", "-mthumb", level, *STANDARD, "-fstack-usage", "-c", str(path)]
    run_checked([need("arm-none-eabi-gcc"), *flags, "-o", "made.o"], tmp_path)
    lines = (tmp_path / "made.su").read_text().splitlines()
    found = [line.split("\t") for line in lines]
    assert {kind for _, _, kind in found} == {"static"}
    assert 0 < sum(int(size) for _, size, _ in found) <= stack.BESIDE_BYTES
    around = [int(size) for name, size, _ in found if name.endswith(":nn_segment_image")]
    assert len(around) == (path.stem == "nn_segmentation")
    assert max(around, default=0) <= stack.AROUND_BYTES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_small_core_calls_little(path: Path, tmp_path: Path) -> None:
    """No loop over an input, an output or samples calls a function of the compiler's library."""
    flags = ["-mcpu=cortex-m0", "-mthumb", "-Os", *STANDARD, "-c", str(path), "-o", "made.o"]
    run_checked([need("arm-none-eabi-gcc"), *flags], tmp_path)
    command = [need("arm-none-eabi-nm"), "-u", str(tmp_path / "made.o")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    called = {name for name in names if not name.startswith("nn_")}
    assert called - LITTLE - SHIFTS <= ALSO.get(path.stem, set())
