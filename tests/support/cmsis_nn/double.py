"""Compile the plain-C double of the CMSIS-NN functions that generated code calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

from codegen.target import boards

DOUBLE = Path(__file__).parent


def variables(folder: Path, board_id: str) -> dict[str, str]:
    """Compile the double for a board; return the Make variables that point to it."""
    chip = boards.load(board_id).chip
    compiler = "cc" if board_id == "host" else "arm-none-eabi-gcc"
    command = [compiler, *chip.compile_flags, "-std=c11", "-O2", "-Wall"]
    command += ["-Wextra", "-Werror", "-c", str(DOUBLE / "arm_nn_double.c"), "-o", "double.o"]
    subprocess.run(command, cwd=folder, check=True)
    return {"CMSIS_NN_INCLUDE": str(DOUBLE), "CMSIS_NN_LIB": str(folder / "double.o")}
