"""Find compilers and emulators, run make, and explain what went wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from codegen.errors import UserError
from codegen.target import sizes
from codegen.target.boards import Board
from codegen.target.manifest import ProjectInfo, check_complete, read_info
from codegen.target.sizes import Sizes

FIRMWARE_ELF = "build/firmware.elf"
RUNNER_ELF = "build/runner.elf"
SIZES_JSON = "build/sizes.json"
LINKER_SCRIPT = "rig/linker.ld"

_APT = {
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "cc": "gcc libc6-dev",
}
_CMSIS = ("CMSIS_NN_INCLUDE", "CMSIS_NN_LIB")
_OVERFLOW = re.compile(r"region `(FLASH|RAM|WEIGHTS|ARENA|STACK)' overflowed by (\d+) bytes?")
_LENGTH = re.compile(r"^ +(\w+) +\(\w+\) *: ORIGIN = \w+, LENGTH = (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Built:
    """A project that has been built."""

    project: Path
    info: ProjectInfo
    sizes: Sizes
    probe: str | None = None
    """Of several debug probes, the one whose unique ID contains this."""

    @property
    def board(self) -> Board:
        """Return what it was built for."""
        return self.info.target.board

    @property
    def firmware_elf(self) -> Path:
        """Return the example program."""
        return self.project / FIRMWARE_ELF

    @property
    def runner_elf(self) -> Path:
        """Return the test runner."""
        return self.project / RUNNER_ELF


def find(tool: str) -> str:
    """Return the path of a program.

    Raises:
        UserError: it is not installed; the message says how to install it.
    """
    found = shutil.which(tool)
    if found is None:
        raise UserError(
            "toolchain",
            f"{tool} is not installed",
            got="no such program on PATH",
            expected=tool,
            action=f"Install it: sudo apt-get install {_APT.get(tool, tool)}",
        )
    return found


def check_tools(board: Board) -> None:
    """Refuse to go on without what building for ``board`` takes.

    Raises:
        UserError: a missing tool.
    """
    find("cc" if board.is_host else "arm-none-eabi-gcc")
    find("make")


def build(project: Path, variables: Mapping[str, str] | None = None) -> Built:
    """Run make in a generated project and write its sizes to build/sizes.json.

    Args:
        project: the folder.
        variables: Make variables, such as CMSIS_NN_INCLUDE.

    Raises:
        UserError: not our folder, a missing tool, a network too large for the board, or a failed
            build.
    """
    info = read_info(project)
    check_complete(project)
    board = info.target.board
    check_tools(board)
    given = {**_cmsis_paths(info, variables or {}), **(variables or {})}
    command = [find("make"), "-C", str(project), f"-j{os.cpu_count() or 1}", "--output-sync"]
    command += [f"{name}={_from_anywhere(name, value)}" for name, value in given.items()]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise _explain(result.stdout + result.stderr, project, info, board)
    measured = _sizes(project, info, board)
    data = {"board": board.id, "elf": FIRMWARE_ELF, **asdict(measured)}
    (project / SIZES_JSON).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return Built(project, info, measured)


def _cmsis_paths(info: ProjectInfo, variables: Mapping[str, str]) -> dict[str, str]:
    """Return where CMSIS-NN is, if it is called; refuse to build without knowing that."""
    if not any(layer.kernel.startswith("cmsis_") for layer in info.layers):
        return {}
    found = {name: variables.get(name) or os.environ.get(name, "") for name in _CMSIS}
    for name, value in found.items():
        if not value:
            raise UserError(
                name,
                "not set, but the project calls CMSIS-NN",
                got="nothing",
                expected="the folder of arm_nnfunctions.h, and the CMSIS-NN library",
                action="Set CMSIS_NN_INCLUDE and CMSIS_NN_LIB in the environment",
            )
    return found


def _from_anywhere(name: str, value: str) -> str:
    """Make the paths of CMSIS-NN absolute: make runs in the project's folder, not the user's."""
    if name not in _CMSIS:
        return value
    return " ".join(str(Path(w).resolve()) if Path(w).exists() else w for w in value.split())


def _sizes(project: Path, info: ProjectInfo, board: Board) -> Sizes:
    if not board.is_host:
        return sizes.of_program(project / FIRMWARE_ELF, board)
    library = sorted((project / "build/library").rglob("*.o"))
    return sizes.of_host_objects(library, info.arena_bytes, info.callers_bytes)


def _explain(output: str, project: Path, info: ProjectInfo, board: Board) -> UserError:
    """Turn make's output into the error a user can act on."""
    overflows = [(region, int(count)) for region, count in _OVERFLOW.findall(output)]
    if overflows:
        # Example and test runner are linked at once, in any order: flash first, then the larger.
        region, count = max(overflows, key=lambda item: (item[0] == "FLASH", item[1]))
        limit = _limit(region, project)
        return UserError(
            f"board {board.id}",
            f"network {info.network} does not fit: {region} is over-full by {count} bytes",
            got=f"{limit + count} bytes",
            expected=f"at most {limit}",
            action=_advice(region, info),
        )
    return UserError(
        str(project),
        "the build failed",
        got="\n" + output.strip()[-3000:] + "\n",
        expected="a clean build",
        action=f"Read the messages above, or run make -C {project}",
    )


def _limit(region: str, project: Path) -> int:
    """Return the bytes of ``region`` in the linker script, which a user may have edited."""
    for elf in (FIRMWARE_ELF, RUNNER_ELF):
        length = sizes.linked_bytes(project / elf).get(region)
        if length is not None:
            return length
    script = (project / LINKER_SCRIPT).read_text(encoding="utf-8", errors="replace")
    return int(dict(_LENGTH.findall(script)).get(region, 0))


def _advice(region: str, info: ProjectInfo) -> str:
    """Say which level or layer to drop, with the bytes that frees."""
    if region not in ("FLASH", "WEIGHTS"):
        peak = max(info.layers, key=lambda layer: layer.peak_ram_bytes)
        return (
            f"The arena takes {info.arena_bytes} bytes, {peak.peak_ram_bytes} of them in layer "
            f"{peak.name}: make that layer's maps smaller, use a smaller input, or choose a board "
            "with more RAM"
        )
    largest = max(info.layers, key=lambda layer: layer.flash_bytes)
    shrink = f"make layer {largest.name} smaller (it takes {largest.flash_bytes} bytes)"
    if len(info.levels) < 2:
        return f"Prune further, {shrink}, or choose a board with more flash"
    densest = info.levels[-1]
    return (
        f"Drop the densest level {densest.name} (saves {densest.own_bytes} bytes), {shrink}, "
        "or choose a board with more flash"
    )
