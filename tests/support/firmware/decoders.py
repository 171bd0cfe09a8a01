"""Run the decoders of coded streams on the host or an emulated core; say what is well-formed."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from codegen.target.emulator import counts, plugin
from tests.support.firmware.rig import (
    FIRMWARE,
    HARNESS,
    M4_FLAGS,
    M7_FLAGS,
    SANITIZERS,
    STANDARD,
    WARNINGS,
    run_checked,
)

Machine = Literal["host", "mps2-an386", "mps2-an500"]
MACHINES: tuple[Machine, ...] = ("host", "mps2-an386", "mps2-an500")
"""This computer with sanitizers, the emulated Cortex-M4 and Cortex-M7."""

SOURCES = (
    *(f"codecs/nn_{name}.c" for name in ("decode", "lz4", "deltas")),
    "core/nn_crc32.c",
    "port/nn_mark.c",
)
CODECS = ("lz4", "deltas", "check")


@dataclass(frozen=True)
class Request:
    """One call of a decoder; "check" is nn_check_positions, which has no output."""

    codec: Literal["lz4", "deltas", "check"]
    stored: bytes
    out_bytes: int = 0
    rows: int = 1
    count: int = 1
    group: int = 1
    misalign_bytes: int = 0
    damage_step: int = 0
    """0: call it once. Else: try every truncation, and every byte with every step-th value."""


@dataclass(frozen=True)
class Answer:
    """What a decoder said and wrote."""

    accepted: bool
    out: bytes


@dataclass(frozen=True)
class Damage:
    """What came of the damaged versions of one block."""

    tried: int
    accepted: int
    digest: int
    """Equal on machines that gave the same results and outputs."""


@dataclass(frozen=True)
class Ran:
    """Answers in the order of the requests, and what was executed for each that was called once."""

    answers: tuple[Answer | Damage, ...]
    recorded: counts.Counts | None
    elf: Path

    def once(self) -> list[Answer]:
        """Return the answers of requests that were called once."""
        return [answer for answer in self.answers if isinstance(answer, Answer)]

    def damages(self) -> list[Damage]:
        """Return the answers of requests for damage."""
        return [answer for answer in self.answers if isinstance(answer, Damage)]


_FOLDER = tempfile.TemporaryDirectory(prefix="decoders")
"""Of the programs; goes away with the process."""


@cache
def build(machine: Machine, flags: tuple[str, ...] = ("-O2",), compiler: str = "gcc") -> Path:
    """Compile the decoders and their harness; return the program. ``compiler``: on the host."""
    folder = Path(tempfile.mkdtemp(dir=_FOLDER.name))
    includes = [f"-I{path}" for path in (FIRMWARE, FIRMWARE / "port", HARNESS)]
    options = [*STANDARD, *WARNINGS, "-ffunction-sections", "-fdata-sections", *flags, *includes]
    files = [HARNESS / "decode_harness.c", *(FIRMWARE / name for name in SOURCES)]
    if machine == "host":
        files += [HARNESS / "harness_memory_host.c", FIRMWARE / "port/nn_port_host.c"]
        command = [compiler, *options, *SANITIZERS]
    else:
        for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        files += [HARNESS / "harness_memory_m4.c", FIRMWARE / "startup/nn_startup.c"]
        files.append(FIRMWARE / "port/nn_port_semihosting.c")
        command = ["arm-none-eabi-gcc", *(M7_FLAGS if machine == "mps2-an500" else M4_FLAGS)]
        command += [*options, "-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections"]
        command += ["-Wl,--no-warn-rwx-segments", "-T", str(HARNESS / "qemu.ld")]
    run_checked([*command, "-o", "decoders.elf", *map(str, files)], folder)
    return folder / "decoders.elf"


def run(
    requests: Sequence[Request],
    folder: Path,
    machine: Machine = "host",
    *,
    flags: tuple[str, ...] = ("-O2",),
    compiler: str = "gcc",
    measure: bool = False,
) -> Ran:
    """Let the decoders on ``machine`` answer ``requests``; ``folder`` takes the files."""
    elf = build(machine, flags, compiler)
    with (folder / "requests.bin").open("wb") as stream:
        for request in requests:
            stream.write(_header(request) + request.stored)
    if machine == "host":
        run_checked([str(elf)], folder)
    else:
        emulator = ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none"]
        emulator += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
        if measure:
            options = counts.plugin_arguments(elf, len(requests), folder / "counts.txt")
            text = ",".join(f"{key}={value}" for key, value in options.items())
            emulator += ["-plugin", f"{plugin.build()},{text}"]
        run_checked([*emulator, "-kernel", str(elf)], folder)
    recorded = counts.read(folder / "counts.txt") if measure else None
    return Ran(_answers(requests, (folder / "answers.bin").read_bytes()), recorded, elf)


def _header(request: Request) -> bytes:
    return struct.pack(
        "<9I",
        CODECS.index(request.codec),
        1 if request.damage_step else 0,
        request.rows,
        request.count,
        request.group,
        request.misalign_bytes,
        max(request.damage_step, 1),
        len(request.stored),
        request.out_bytes,
    )


def _answers(requests: Sequence[Request], data: bytes) -> tuple[Answer | Damage, ...]:
    answers: list[Answer | Damage] = []
    place = 0
    for request in requests:
        if request.damage_step:
            answers.append(Damage(*struct.unpack_from("<3I", data, place)))
            place += 12
        else:
            (result,) = struct.unpack_from("<I", data, place)
            place += 4 + request.out_bytes
            assert result in (0, 1)
            answers.append(Answer(result == 1, data[place - request.out_bytes : place]))
    assert place == len(data)
    return tuple(answers)


def lz4_bytes(stored: bytes, out_bytes: int) -> bytes | None:
    """Return what an LZ4 block holds, None if it breaks a rule of the block format.

    Written from https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md, with its conditions
    for the end of a block.
    """
    out = bytearray()
    place = 0

    def length(first: int) -> int | None:
        nonlocal place
        total = first
        while first == 15:
            if place == len(stored):
                return None
            total += stored[place]
            place += 1
            if stored[place - 1] != 255:
                break
        return total

    while place < len(stored):
        token = stored[place]
        place += 1
        literals = length(token >> 4)
        if literals is None or place + literals > len(stored):
            return None
        out += stored[place : place + literals]
        place += literals
        if place == len(stored):
            return bytes(out) if len(out) == out_bytes else None
        if place + 2 > len(stored) or len(out) + 12 > out_bytes:
            return None
        offset = int.from_bytes(stored[place : place + 2], "little")
        place += 2
        match = length(token & 15)
        if match is None or not 1 <= offset <= len(out) or len(out) + match + 4 + 5 > out_bytes:
            return None
        for _ in range(match + 4):
            out.append(out[-offset])
    return None


def positions_fit(positions: bytes, rows: int, count: int, group: int) -> bool:
    """Return whether kernels may walk ``positions``; docs/format.md, "Position byte"."""
    ends = [index for index, byte in enumerate(positions) if byte & 0x80]
    if len(ends) != rows or ends[-1] != len(positions) - 1:
        return False
    begin = 0
    for end in ends:
        advances = np.frombuffer(positions[begin : end + 1], np.uint8) & 0x7F
        if int(advances.astype(np.int64).sum()) >= count or (group == 2 and len(advances) % 2):
            return False
        begin = end + 1
    return True
