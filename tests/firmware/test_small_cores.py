"""What comes before and after a network, on a core without products of 64 bits and an FPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.firmware.rig import FIRMWARE, STANDARD, need, run_checked

LITTLE = {"__aeabi_idiv", "__aeabi_uidiv", "__aeabi_uidivmod", "__clzsi2", "memcpy", "memset"}
"""Divisions of 32 bits, a few an answer, and what every C library has."""
SHIFTS = {"__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr"}
ALSO = {
    "nn_detection": {"__aeabi_lmul", "nn_argmax", "nn_output"},  # two a pair of boxes that meet
    "nn_quantize": {
        *(f"__aeabi_f{name}" for name in ("sub", "mul", "2iz", "cmpge", "cmple", "cmplt")),
        "__aeabi_i2f",
    },  # raw numbers that are floats
}
FILES = sorted([*FIRMWARE.glob("tasks/*.c"), *FIRMWARE.glob("sources/*.c")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_small_core_calls_little(path: Path, tmp_path: Path) -> None:
    """No loop over an input, an output or samples calls a function of the compiler's library."""
    flags = ["-mcpu=cortex-m0", "-mthumb", "-Os", *STANDARD, "-c", str(path), "-o", "made.o"]
    run_checked([need("arm-none-eabi-gcc"), *flags], tmp_path)
    command = [need("arm-none-eabi-nm"), "-u", str(tmp_path / "made.o")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    called = {line.split()[-1] for line in listed.splitlines()}
    assert called - LITTLE - SHIFTS <= ALSO.get(path.stem, set())
