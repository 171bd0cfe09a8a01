"""The deployment commands as functions: codegen, build, run and bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from codegen import tasks
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array
from codegen.kernels.common import cost
from codegen.measure import auto_cycles, compare
from codegen.measure.bench import Bench, measure
from codegen.measure.compare import Report
from codegen.target import boards, cores, manifest, toolchain
from codegen.target.boards import Board
from codegen.target.runners.progress import Progress
from codegen.target.runners.pyocd import check_probe
from codegen.target.target import Choices, Target, resolve
from codegen.target.toolchain import Built
from codegen.tasks import Targets

Inputs = Int8Array | Sequence[Int8Array]
"""What a network is run on: an array (n, h, w, c) per input, or the one of its only input."""

AUTO = "auto"
ANALYTIC = "analytic"


def default_project(nestfile_path: Path, board: Board) -> Path:
    """Return where the project of a network goes by default: ``build/<run>-<board>``."""
    return Path("build") / f"{nestfile_path.resolve().parent.name}-{board.id}"


def codegen(
    nestfile_path: Path,
    board: str,
    out: Path | None = None,
    *,
    cycles: Path | str = AUTO,
    name: str | None = None,
    **said: Unpack[Choices],
) -> Path:
    """Write the C project of a network for a board; return its folder.

    Args:
        nestfile_path: the network.
        board: name of a file in boards/, or the path of a board's TOML file.
        out: the folder, created, or replaced if an earlier call made it; default:
            :func:`default_project`.
        cycles: what nn_fit_cycles shall go by: "auto", bench's estimate where compiler and emulator
            are installed; "analytic", a formula that needs neither; or a report of :func:`bench` or
            :func:`run`.
        name: what the network is called in C; default: as its file says.
        said: the choices beside the board; :class:`codegen.target.target.Choices`.

    Raises:
        UserError: unknown board or choices, a name that C cannot have, a damaged file, an output
            folder that is not ours, a report of another network or board.
    """
    graph = nestfile.load(nestfile_path)
    target = resolve(board, graph.provenance, **said)
    return _codegen(nestfile_path, graph, target, out, cycles, name)


def _codegen(
    nestfile_path: Path,
    graph: Graph,
    target: Target,
    out: Path | None,
    cycles: Path | str,
    name: str | None,
) -> Path:
    sha256 = nestfile.file_sha256(nestfile_path)
    called = project.renamed(graph, name)
    known = Path(cycles) if cycles not in (AUTO, ANALYTIC) else None
    estimated = auto_cycles.estimate(graph, sha256, target) if cycles == AUTO else None
    out = out or default_project(nestfile_path, target.board)
    return project.write(called, sha256, target, out, known or estimated)


def newest_project(root: Path = Path("build")) -> Path:
    """Return the project below ``root`` that was generated last; UserError if there is none."""
    found = list(root.glob(f"*/{manifest.MARKER}"))
    if not found:
        raise UserError(
            f"{root}/",
            "no generated project",
            got="none",
            expected=f"a folder with {manifest.MARKER}",
            action="Run: nestnet codegen --board stm32f7",
        )
    return max(found, key=lambda marker: (marker.stat().st_mtime_ns, str(marker))).parent


def build(folder: Path, variables: Mapping[str, str] | None = None) -> Built:
    """Build a generated project and measure its sizes.

    Args:
        folder: the project.
        variables: Make variables, such as CMSIS_NN_INCLUDE and CMSIS_NN_LIB.

    Raises:
        UserError: a missing tool, a network too large for its board, a failed build.
    """
    return toolchain.build(folder, variables)


def run(
    nestfile_path: Path,
    board: str,
    images: Inputs,
    targets: Targets | Sequence[int] | None = None,
    *,
    levels: Sequence[int] | None = None,
    out: Path | None = None,
    variables: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    probe: str | None = None,
    **said: Unpack[Choices],
) -> Report:
    """Run int8 ``images`` (n, h, w, c) on a board at each level and compare with the reference.

    A network with several inputs takes one array for each.

    The project is generated and built first where that has not been done for this very network.
    ``probe`` is part of the unique ID of the debug probe to use, where several are connected.

    Raises:
        UserError: bad arguments, or the machine or a tool is missing.
    """
    machine = runnable(board)
    toolchain.check_tools(machine)
    check_probe(machine, probe)
    graph = nestfile.load(nestfile_path)
    inputs = _inputs(images)
    chosen = _check(graph, inputs, levels)
    if targets is not None and tasks.of(graph) is None:
        raise UserError(
            f"network {graph.name}",
            "targets, and no task knows its outputs",
            got=", ".join(f"{name}: {graph.value(name).meaning}" for name in graph.outputs),
            expected="; or ".join(task.fitting for task in tasks.TASKS.values()),
            action="Run it without targets",
        )
    target = resolve(machine, graph.provenance, **said)
    built = build(_prepare(nestfile_path, graph, target, out), variables)
    return compare.compare(replace(built, probe=probe), graph, inputs, targets, chosen, progress)


def bench(
    nestfile_path: Path,
    board: str,
    images: Inputs,
    *,
    out: Path | None = None,
    variables: Mapping[str, str] | None = None,
    **said: Unpack[Choices],
) -> Bench:
    """Measure every layer at every level: instructions, and cycles estimated from them.

    For a chip the code runs on the emulated board with the same core, while the estimate prices the
    chip's own memory; the project is built for both. See :func:`run` for the arguments.
    """
    graph = nestfile.load(nestfile_path)
    inputs = _inputs(images)
    levels = _check(graph, inputs, None)
    target = resolve(board, graph.provenance, **said)
    emulator = _emulator(target.board)
    out = out or default_project(nestfile_path, target.board)
    built = running = build(_prepare(nestfile_path, graph, target, out), variables)
    if emulator is not None:
        twin = out.with_name(f"{out.name}-{emulator}")
        emulated = replace(target, board=boards.load(emulator))
        running = build(_prepare(nestfile_path, graph, emulated, twin), variables)
    return measure(running, inputs, levels, built)


def runnable(name: str) -> Board:
    """Return a board that :func:`run` can run.

    Raises:
        UserError: unknown, or its file names no runner.
    """
    board = boards.load(name)
    if board.runner == "none":
        raise UserError(
            f"board {board.id}",
            "nestnet cannot run it",
            got='runner = "none" in its file',
            expected="a board with a runner; `nestnet build` and `nestnet bench` need none",
            action="Run the same core emulated (--board qemu_m4), or see docs/howto/board.md",
        )
    return board


def _emulator(board: Board) -> str | None:
    """Return the emulated board with the core of a chip; None for what runs here itself."""
    if board.runner not in ("pyocd", "none"):
        return None
    if board.core.emulator is None:
        emulated = [name for name in cores.names() if cores.load(name).emulator is not None]
        raise UserError(
            f"board {board.id}",
            "no emulator has this core",
            got=board.core.name,
            expected="one of " + ", ".join(emulated),
            action="Bench on an emulated board of another core, or run on the board",
        )
    return board.core.emulator


def prepare(
    nestfile_path: Path,
    board: str,
    out: Path | None = None,
    *,
    cycles: Path | str = ANALYTIC,
    **said: Unpack[Choices],
) -> Path:
    """Return the project of this very network and board, generated where that is needed.

    With "auto" cycles it is also generated again if its cycles are the analytic model's although
    they can be estimated.

    A project of the network that was given a name keeps it.

    Raises:
        UserError: as :func:`codegen`.
    """
    graph = nestfile.load(nestfile_path)
    target = resolve(board, graph.provenance, **said)
    return _prepare(nestfile_path, graph, target, out, cycles)


def _prepare(
    nestfile_path: Path,
    graph: Graph,
    target: Target,
    out: Path | None,
    cycles: Path | str = ANALYTIC,
) -> Path:
    out = out or default_project(nestfile_path, target.board)
    sha256 = nestfile.file_sha256(nestfile_path)
    if project.is_current(out, sha256, target):
        reckoned = manifest.read_info(out).cycles_source.startswith(cost.NAME)
        if cycles != AUTO or not reckoned or not auto_cycles.possible(target):
            return out
    name = project.name_in_use(out, sha256)
    return _codegen(nestfile_path, graph, target, out, cycles, name)


def _inputs(images: Inputs) -> tuple[Int8Array, ...]:
    return (images,) if isinstance(images, np.ndarray) else tuple(images)


def _check(
    graph: Graph, inputs: Sequence[Int8Array], levels: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the levels to run, all by default; refuse inputs and levels that do not fit."""
    if reference.check_inputs(graph, inputs) == 0:
        raise UserError(
            f"network {graph.name}",
            "nothing to run",
            got="no sample",
            expected="at least 1",
            action="Give more",
        )
    chosen = tuple(range(len(graph.levels))) if levels is None else tuple(levels)
    bad = [level for level in chosen if not 0 <= level < len(graph.levels)]
    if bad or not chosen:
        raise UserError(
            "levels",
            "no such level",
            got=bad[0] if bad else "none",
            expected=f"0..{len(graph.levels) - 1}",
            action="Choose others with --levels, or leave it out for all",
        )
    return chosen
