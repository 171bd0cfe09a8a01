"""The deployment commands as functions: codegen, build, run and bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codegen.emit import project
from codegen.emit.level_cycles import LevelCycles
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Graph, Int8Array
from codegen.kernels.common import cost
from codegen.measure import auto_cycles, compare
from codegen.measure.bench import EMULATOR, Bench, measure
from codegen.measure.compare import Report
from codegen.program import manifest
from codegen.program.coding import DEFAULT, CodingOptions
from codegen.target import boards, toolchain
from codegen.target.boards import Board
from codegen.target.runners.progress import Progress
from codegen.target.runners.pyocd import check_probe
from codegen.target.toolchain import Built

AUTO = "auto"
ANALYTIC = "analytic"


def default_project(nestfile_path: Path, board_id: str) -> Path:
    """Return where the project of a network goes by default: ``build/<run>-<board>``.

    Raises:
        UserError: unknown board.
    """
    return Path("build") / f"{nestfile_path.resolve().parent.name}-{boards.load(board_id).id}"


def codegen(
    nestfile_path: Path,
    board_id: str,
    out: Path | None = None,
    kernels: str = "nestnet",
    cycles: Path | str = AUTO,
    options: CodingOptions = DEFAULT,
    name: str | None = None,
) -> Path:
    """Write the C project of a network for a board; return its folder.

    Args:
        nestfile_path: the network.
        board_id: name of a file in boards/, or the path of a board's TOML file.
        out: the folder; default: :func:`default_project`.
        kernels: "nestnet" or "cmsis-nn" for dense layers.
        cycles: what nn_fit_cycles shall go by: "auto", bench's estimate where compiler and emulator
            are installed; "analytic", a formula that needs neither; or a report of :func:`bench` or
            :func:`run`.
        options: how weights lie in flash.
        name: what the network is called in C; default: as its file says.

    Raises:
        UserError: unknown board, kernels or options, a damaged file, an output folder that is not
            ours, a report of another network or board.
    """
    out = out or default_project(nestfile_path, board_id)
    known = _cycles(nestfile_path, board_id, kernels, cycles, options)
    return project.generate(nestfile_path, board_id, out, kernels, known, options, name)


def _cycles(
    nestfile_path: Path, board_id: str, kernels: str, cycles: Path | str, options: CodingOptions
) -> Path | LevelCycles | None:
    """Return what ``cycles`` stands for; None for the analytic model."""
    board = boards.load(board_id)
    if cycles == ANALYTIC:
        return None
    if cycles != AUTO:
        return Path(cycles)
    if kernels not in project.KERNELS:
        return None  # refused by what comes next
    graph = nestfile.load(nestfile_path)
    chosen = options.chosen(graph.provenance)
    fixed = CodingOptions(chosen.optimize, chosen.codecs, chosen.decode)
    sha256 = nestfile.file_sha256(nestfile_path)
    return auto_cycles.estimate(graph, sha256, board, kernels, fixed)


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
    board_id: str,
    images: Int8Array,
    labels: Sequence[int] | None = None,
    *,
    levels: Sequence[int] | None = None,
    out: Path | None = None,
    kernels: str = "nestnet",
    options: CodingOptions = DEFAULT,
    variables: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    probe: str | None = None,
) -> Report:
    """Run int8 ``images`` (n, h, w, c) on a board at each level and compare with the reference.

    The project is generated and built first where that has not been done for this very network.
    ``probe`` is part of the unique ID of the debug probe to use, where several are connected.

    Raises:
        UserError: bad arguments, or the machine or a tool is missing.
    """
    board = runnable(board_id)
    toolchain.check_tools(board)
    check_probe(board, probe)
    graph = nestfile.load(nestfile_path)
    chosen = _check(graph, images, levels)
    built = build(prepare(nestfile_path, board_id, out, kernels, options), variables)
    built = replace(built, probe=probe)
    return compare.compare(built, graph, images, labels, chosen, progress)


def bench(
    nestfile_path: Path,
    board_id: str,
    images: Int8Array,
    *,
    out: Path | None = None,
    kernels: str = "nestnet",
    options: CodingOptions = DEFAULT,
    variables: Mapping[str, str] | None = None,
) -> Bench:
    """Measure every layer at every level: instructions, and cycles estimated from them.

    For a chip the code runs on the emulated board with the same core, while the estimate prices the
    chip's own memory; the project is built for both. See :func:`run` for the arguments.
    """
    graph = nestfile.load(nestfile_path)
    levels = _check(graph, images, None)
    emulator = _emulator(boards.load(board_id))
    out = out or default_project(nestfile_path, board_id)
    built = running = build(prepare(nestfile_path, board_id, out, kernels, options), variables)
    if emulator is not None:
        twin = out.with_name(f"{out.name}-{emulator}")
        running = build(prepare(nestfile_path, emulator, twin, kernels, options), variables)
    return measure(running, images, levels, built)


def runnable(board_id: str) -> Board:
    """Return a board that :func:`run` can run.

    Raises:
        UserError: unknown, or its file names no runner.
    """
    board = boards.load(board_id)
    if board.runner == "none":
        raise UserError(
            f"board {board.id}",
            "nestnet cannot run it",
            got='runner = "none" in its file',
            expected="a board with a runner; `nestnet build` and `nestnet bench` need none",
            action="Run the same core emulated, as with --board qemu_m4, or see docs/boards.md",
        )
    return board


def _emulator(board: Board) -> str | None:
    """Return the emulated board with the core of a chip; None for what runs here itself."""
    if board.runner not in ("pyocd", "none"):
        return None
    if board.core.name not in EMULATOR:
        raise UserError(
            f"board {board.id}",
            "no emulator has this core",
            got=board.core.name,
            expected="one of " + ", ".join(EMULATOR),
            action="Bench on an emulated board of another core, or run on the board",
        )
    return EMULATOR[board.core.name]


def prepare(
    nestfile_path: Path,
    board_id: str,
    out: Path | None = None,
    kernels: str = "nestnet",
    options: CodingOptions = DEFAULT,
    cycles: Path | str = ANALYTIC,
) -> Path:
    """Return the project of this very network and board, generated where that is needed.

    With "auto" cycles it is also generated again if its cycles are the analytic model's although
    they can be estimated.

    A project of the network that was given a name keeps it.

    Raises:
        UserError: as :func:`codegen`.
    """
    board = boards.load(board_id)
    out = out or default_project(nestfile_path, board_id)
    chosen = options.chosen(nestfile.load(nestfile_path).provenance)
    sha256 = nestfile.file_sha256(nestfile_path)
    if project.is_current(out, sha256, board, kernels, chosen):
        reckoned = manifest.read_info(out).cycles_source.startswith(cost.NAME)
        if cycles != AUTO or not reckoned or not auto_cycles.possible(board, kernels):
            return out
    name = project.name_in_use(out, sha256)
    return codegen(nestfile_path, board_id, out, kernels, cycles, options, name)


def _check(graph: Graph, images: Int8Array, levels: Sequence[int] | None) -> tuple[int, ...]:
    """Return the levels to run, all by default; refuse images and levels that do not fit."""
    shape = graph.value(graph.input).shape
    if images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
        raise UserError(
            "images",
            f"wrong shape for network {graph.name}",
            got=images.shape,
            expected=f"(n, {shape[0]}, {shape[1]}, {shape[2]}) with n at least 1",
            action="Use the data set the network was trained on",
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
