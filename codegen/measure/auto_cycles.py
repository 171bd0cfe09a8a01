"""Estimate the levels' cycles on the emulated core, where that is possible, and keep the result.

``nestnet codegen`` puts them into the generated code (docs/adr/0003-cycles-in-generated-code.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import codegen
from codegen import paths
from codegen.emit import level_cycles, project
from codegen.emit.level_cycles import LevelCycles
from codegen.errors import UserError
from codegen.graph.ir import Graph
from codegen.graph.synthetic import random_inputs
from codegen.measure import bench
from codegen.target import boards, toolchain
from codegen.target.placement import DoesNotFit
from codegen.target.target import Target

TOOLS = ("make", "arm-none-eabi-gcc", "qemu-system-arm", "cc")
"""What building and counting take; cc builds the emulator's plugin."""

_LIBRARY = ("CMSIS_NN_INCLUDE", "CMSIS_NN_LIB")


def possible(target: Target) -> bool:
    """Return whether the cycles of ``target`` can be estimated on this machine."""
    core = target.board.core
    if core.emulator is None or core.pricer is None:
        return False
    if target.kernels == "cmsis-nn" and not all(os.environ.get(name) for name in _LIBRARY):
        return False
    return all(shutil.which(tool) for tool in TOOLS)


def estimate(graph: Graph, graph_sha256: str, target: Target) -> LevelCycles | None:
    """Return what bench estimates for each level, the upper end of a range; None if it cannot.

    Speed does not depend on the input, so one random image is run. The result is kept in nestnet's
    cache folder and found there by whatever it depends on.
    """
    if not possible(target):
        return None
    kept = paths.cache() / "cycles" / f"{_key(graph_sha256, target)}.json"
    known = _kept(kept, len(graph.levels))
    if known is not None:
        return known
    try:
        found = _measure(graph, graph_sha256, target)
    except (UserError, DoesNotFit):
        return None  # what stops this build will be said when the project itself is built
    with contextlib.suppress(OSError):
        _keep(kept, json.dumps(asdict(found)))
    return found


def _measure(graph: Graph, graph_sha256: str, target: Target) -> LevelCycles:
    assert target.board.core.emulator is not None
    emulator = boards.load(target.board.core.emulator)
    inputs = random_inputs(graph, 1, seed=0)
    with tempfile.TemporaryDirectory(prefix="nestnet-cycles-") as name:
        folder = Path(name) / "project"
        project.write(graph, graph_sha256, replace(target, board=emulator), folder)
        built = toolchain.build(folder)
        spans, estimator = bench.level_cycles(built, inputs, range(len(graph.levels)), target.board)
    is_range = any(span.low != span.high for span in spans)
    cycles = tuple(min(span.high, level_cycles.MAX_CYCLES) for span in spans)
    return LevelCycles(cycles, estimator + level_cycles.UPPER_END * is_range)


def _kept(path: Path, levels: int) -> LevelCycles | None:
    """Return what an earlier call found; None if there is none or the file is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = [level_cycles.usable(value) for value in data["cycles"]]
        source = data["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    cycles = tuple(value for value in found if value is not None)
    if not len(cycles) == len(found) == levels or not isinstance(source, str):
        return None
    return LevelCycles(cycles, source)


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(name, path)


def _key(graph_sha256: str, target: Target) -> str:
    """Return a digest of all that the estimate depends on."""
    digest = hashlib.sha256(graph_sha256.encode())
    digest.update(repr(target).encode())
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        command = [tool, "--version"]
        digest.update(subprocess.run(command, capture_output=True, check=False).stdout)
    if target.kernels == "cmsis-nn":
        for name in _LIBRARY:
            path = Path(os.environ[name])
            digest.update(path.read_bytes() if path.is_file() else str(path).encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    """Yield the files that decide what is generated and how it is priced, in a fixed order."""
    for folder, patterns in (
        (paths.firmware(), ("*.c", "*.h")),
        (paths.templates(), ("*.j2",)),
        (Path(codegen.__file__).parent, ("*.py", "*.c", "*.toml")),
    ):
        for pattern in patterns:
            yield from sorted(folder.rglob(pattern))
