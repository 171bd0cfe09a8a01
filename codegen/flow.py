"""The deployment commands as functions: codegen, build, run and bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen import board as boards
from codegen import nestfile, project, report, runners, toolchain
from codegen.errors import UserError
from codegen.ir import Graph, Int8Array
from codegen.report import Report
from codegen.sizes import Sizes
from codegen.toolchain import Built


@dataclass(frozen=True)
class LayerBench:
    """What one layer costs at every level."""

    index: int
    name: str
    kernel: str
    reason: str
    flash_bytes: int
    macs: tuple[int, ...]
    instructions: tuple[int, ...] | None
    """Executed per inference."""
    modelled_cycles: tuple[int, ...]
    """The estimate packing works with; not measured."""
    measured_cycles: tuple[int, ...] | None
    """By the board's counter."""


@dataclass(frozen=True)
class Bench:
    """What a network costs on a board, per level and per layer."""

    network: str
    board: str
    title: str
    images: int
    levels: tuple[str, ...]
    macs: tuple[int, ...]
    instructions: tuple[int, ...] | None
    other_instructions: tuple[int, ...] | None
    """Outside the layers' own functions: nn_run, copying, arithmetic helpers."""
    modelled_cycles: tuple[int, ...]
    measured_cycles: tuple[int, ...] | None
    stack_bytes: int | None
    sizes: Sizes
    layers: tuple[LayerBench, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain data for a JSON file."""
        return asdict(self)


def default_project(nestfile_path: Path, board_id: str) -> Path:
    """Return where the project of a network goes by default: ``build/<run>-<board>``."""
    return Path("build") / f"{nestfile_path.resolve().parent.name}-{board_id}"


def codegen(
    nestfile_path: Path, board_id: str, out: Path | None = None, kernels: str = "nestnet"
) -> Path:
    """Write the C project of a network for a board; return its folder.

    Raises:
        UserError: unknown board or kernels, a damaged file, an output folder that is not ours.
    """
    out = out or default_project(nestfile_path, board_id)
    return project.generate(nestfile_path, board_id, out, kernels)


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
    variables: Mapping[str, str] | None = None,
) -> Report:
    """Run int8 ``images`` (n, h, w, c) on a board at each level and compare with the reference.

    The project is generated and built first where that has not been done for this very network.

    Raises:
        UserError: bad arguments, or the machine or a tool is missing.
    """
    graph = nestfile.load(nestfile_path)
    chosen = _check(graph, images, levels)
    built = build(prepare(nestfile_path, board_id, out, kernels), variables)
    return report.compare(built, graph, images, labels, chosen)


def bench(
    nestfile_path: Path,
    board_id: str,
    images: Int8Array,
    *,
    out: Path | None = None,
    kernels: str = "nestnet",
    variables: Mapping[str, str] | None = None,
) -> Bench:
    """Measure instructions (emulator) or cycles (board) per level and layer; see :func:`run`."""
    graph = nestfile.load(nestfile_path)
    levels = _check(graph, images, None)
    built = build(prepare(nestfile_path, board_id, out, kernels), variables)
    result = runners.run(built, images, levels)
    info = built.info
    other = None
    if result.instructions is not None:
        other = _rounded(
            [
                total - sum(per_level[position] for per_level in result.layer_instructions.values())
                for position, total in enumerate(result.instructions)
            ]
        )
    return Bench(
        network=info.network,
        board=info.board,
        title=built.board.title,
        images=result.images,
        levels=tuple(level.name for level in info.levels),
        macs=tuple(level.macs for level in info.levels),
        instructions=None if result.instructions is None else _rounded(result.instructions),
        other_instructions=other,
        modelled_cycles=tuple(level.cycles for level in info.levels),
        measured_cycles=None if result.cycles is None else _rounded(result.cycles),
        stack_bytes=result.stack_bytes,
        sizes=built.sizes,
        layers=tuple(
            LayerBench(
                index=layer.index,
                name=layer.name,
                kernel=layer.kernel,
                reason=layer.reason,
                flash_bytes=layer.flash_bytes,
                macs=layer.macs,
                instructions=_of(result.layer_instructions, layer.c_name),
                modelled_cycles=layer.cycles,
                measured_cycles=_of(result.layer_cycles, layer.c_name),
            )
            for layer in info.layers
        ),
    )


def _rounded(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(value) for value in values)


def _of(table: Mapping[str, Sequence[float]], name: str) -> tuple[int, ...] | None:
    return _rounded(table[name]) if name in table else None


def prepare(
    nestfile_path: Path, board_id: str, out: Path | None = None, kernels: str = "nestnet"
) -> Path:
    """Return the project of this very network and board, generated where that is needed.

    Raises:
        UserError: as :func:`codegen`.
    """
    boards.load(board_id)
    out = out or default_project(nestfile_path, board_id)
    if (out / project.MARKER).is_file():
        info = project.read_info(out)
        same = (info.graph_sha256, info.board, info.kernels) == (
            nestfile.file_sha256(nestfile_path),
            board_id,
            kernels,
        )
        if same:
            return out
    return project.generate(nestfile_path, board_id, out, kernels)


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
            action="Choose levels with --level, or leave it out for all",
        )
    return chosen
