"""The files that runner.c reads and writes; their layout is stated in templates/runner.c.j2."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen import paths
from codegen.errors import UserError
from codegen.graph.ir import Int8Array, Uint8Array
from codegen.target.manifest import ProjectInfo

REQUEST = "request.bin"
OUTPUTS = "outputs.bin"
ANSWERS = "answers.bin"
STATS = "stats.bin"
TRACE = "trace.bin"

MODE_RUN = 0
MODE_TRACE = 1
MODE_LAYERS = 2
MODE_ANSWERS = 3

_REQUEST_MAGIC = 0x51524E4E
_STATS_MAGIC = 0x53524E4E
_STATS = struct.Struct("<5I")
_PLACES = ("nowhere", "reading the request", "nn_init", "nn_set_level", "nn_run", "writing outputs")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a run wrote."""

    outputs: tuple[Int8Array, ...]
    """Each (levels, samples, h, w, c)."""
    answers: Uint8Array | None
    """What the task says of the outputs, (levels, samples, bytes); None of a network without a
    task."""
    stack_bytes: int
    """0 if not known."""
    cycles: tuple[tuple[int, ...], ...] | None
    """Per requested level and layer, summed over the samples; None if not counted."""


def write_request(
    folder: Path, inputs: Sequence[Int8Array], levels: Sequence[int], mode: int = MODE_RUN
) -> None:
    """Write request.bin; ``inputs`` are the network's, each (n, h, w, c)."""
    samples = len(inputs[0])
    header = struct.pack("<4I", _REQUEST_MAGIC, mode, samples, len(levels))
    numbers = struct.pack(f"<{len(levels)}I", *levels)
    flat = [np.asarray(given, dtype=np.int8).reshape(samples, -1) for given in inputs]
    (folder / REQUEST).write_bytes(header + numbers + np.concatenate(flat, axis=1).tobytes())


def read_answer(folder: Path, info: ProjectInfo, samples: int, levels: Sequence[int]) -> Answer:
    """Read outputs.bin, stats.bin and, of a network with a task, answers.bin.

    Raises:
        UserError: the program reported an error or wrote too little.
    """
    stats = _read(folder / STATS)
    if len(stats) < _STATS.size:
        raise _failed("the program stopped before it finished", f"{len(stats)} bytes of {STATS}")
    magic, place, status, stack_bytes, has_cycles = _STATS.unpack_from(stats)
    if magic != _STATS_MAGIC:
        raise _failed(f"{STATS} is not what runner.c writes", hex(magic))
    if place != 0:
        raise _failed(f"the program failed in {_PLACES[place]}", _status_name(status))
    written = np.frombuffer(_read(folder / OUTPUTS), np.int8)
    if written.size != samples * len(levels) * info.output_bytes:
        raise _failed(f"{OUTPUTS} has the wrong size", f"{written.size} bytes")
    by_level = written.reshape(samples, len(levels), info.output_bytes).swapaxes(0, 1)
    ends = np.cumsum([output.size_bytes for output in info.outputs])
    outputs = tuple(
        np.ascontiguousarray(part).reshape(len(levels), samples, *output.shape)
        for part, output in zip(np.split(by_level, ends[:-1], axis=2), info.outputs, strict=True)
    )
    cycles = None
    if has_cycles:
        table = np.frombuffer(stats, "<u8", offset=_STATS.size)
        table = table.reshape(len(info.levels), len(info.layers))
        cycles = tuple(tuple(int(value) for value in table[level]) for level in levels)
    return Answer(outputs, _read_answers(folder, samples, len(levels)), stack_bytes, cycles)


def _read_answers(folder: Path, samples: int, levels: int) -> Uint8Array | None:
    if not (folder / ANSWERS).exists():
        return None
    written = np.frombuffer(_read(folder / ANSWERS), np.uint8)
    if written.size == 0 or written.size % (samples * levels):
        raise _failed(f"{ANSWERS} has the wrong size", f"{written.size} bytes")
    return np.ascontiguousarray(written.reshape(samples, levels, -1).swapaxes(0, 1))


def read_trace(folder: Path, info: ProjectInfo) -> tuple[bytes, ...]:
    """Read trace.bin: one copy of the arena per layer."""
    data = _read(folder / TRACE)
    size = len(data) // len(info.layers)
    return tuple(data[index * size : (index + 1) * size] for index in range(len(info.layers)))


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _status_name(status: int) -> str:
    """Return the nn_status code's name, from the one list in nestnet.h."""
    header = (paths.firmware() / "nestnet.h").read_text(encoding="utf-8")
    names = re.findall(r"^\s+X\((NN_\w+),", header, re.MULTILINE)
    return names[status] if status < len(names) else f"status {status}"


def _failed(what: str, got: str) -> UserError:
    return UserError(
        "runner",
        what,
        got=got,
        expected="a complete run",
        action="Generate and build the project again; if it persists, run build/runner.elf by hand",
    )
