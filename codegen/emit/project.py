"""Write a complete C project into a folder, all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from codegen import paths
from codegen.emit import fit, level_cycles, output_folder, render
from codegen.emit.level_cycles import LevelCycles
from codegen.errors import UserError
from codegen.formats import entropy
from codegen.graph.ir import NAME_CHARACTERS, Graph
from codegen.graph.verify import C_IDENTIFIER
from codegen.graph.weighted import Weighted, kept_macs
from codegen.lower import lowering
from codegen.program.call import Call
from codegen.program.program import Program
from codegen.target import boards, manifest
from codegen.target.boards import Board
from codegen.target.manifest import (
    EdgeFacts,
    LayerFacts,
    LevelFacts,
    ProjectInfo,
    StorageFacts,
    read_info,
)
from codegen.target.target import Target

_RIG_FOLDERS = ("port", "startup")
"""Of firmware/: what is not the library."""


def write(
    graph: Graph,
    graph_sha256: str,
    target: Target,
    out_dir: Path,
    cycles: Path | LevelCycles | None = None,
) -> Path:
    """Write the C project of a network for a target; return its folder.

    Args:
        graph: the network.
        graph_sha256: of its file.
        target: what the code is generated for.
        out_dir: created, or replaced if an earlier call made it.
        cycles: of the levels, or a report with them (:mod:`codegen.emit.level_cycles`); default:
            the analytic model's, which need no tool and are the same on every machine.

    Raises:
        UserError: a folder that is not ours, a report of something else, a network that no region
            of the board's memory holds.
    """
    output_folder.check_ours(out_dir)
    packed = lowering.lower(graph, target)
    known = cycles if isinstance(cycles, LevelCycles) else level_cycles.analytic(packed)
    if isinstance(cycles, Path):
        report = level_cycles.read(cycles)
        known = level_cycles.from_report(cycles, report, packed, graph_sha256)
    packed = level_cycles.with_cycles(packed, known)
    copied = _runtime_files(target.board)
    layout = None if target.board.is_host else fit.layout(packed)
    texts = render.project_files(packed, layout, graph_sha256, _sources(copied), known.source)
    info = _info(packed, graph_sha256, known.source)
    files = {path: text.encode() for path, text in texts.items()}
    files[PurePosixPath(boards.IN_PROJECT)] = boards.to_toml(target.board).encode()
    for path, source in copied.items():
        files[path] = source.read_bytes()
    record = {"nestnet_project": manifest.MARKER_VERSION, **info.as_json()}
    output_folder.replace(out_dir, files, record)
    return out_dir


def renamed(graph: Graph, name: str | None) -> Graph:
    """Return ``graph`` called ``name``; the same for None.

    Raises:
        UserError: not a lower-case C identifier.
    """
    if name is None:
        return graph
    if not C_IDENTIFIER.fullmatch(name) or len(name) > NAME_CHARACTERS:
        raise UserError(
            "--name",
            "not a name for C",
            got=repr(name),
            expected=f"a-z, 0-9 and _, a letter first, at most {NAME_CHARACTERS}",
            action="Choose another --name, such as keywords",
        )
    return replace(graph, name=name)


def is_current(project: Path, graph_sha256: str, target: Target) -> bool:
    """Return whether ``project`` is this version's of all arguments, with nothing missing."""
    try:
        info = read_info(project)
    except UserError:
        return False
    found = (info.graph_sha256, info.target, info.generator_version)
    return (
        found == (graph_sha256, target, render.GENERATOR_VERSION)
        and not manifest.missing(project)
        and _has_current_firmware(project, target.board)
    )


def name_in_use(project: Path, graph_sha256: str) -> str | None:
    """Return what ``project`` calls the network in C; None if it is of another one, or nothing."""
    try:
        info = read_info(project)
    except UserError:
        return None
    return info.network if info.graph_sha256 == graph_sha256 else None


def _has_current_firmware(project: Path, board: Board) -> bool:
    """Return whether the runtime copied into ``project`` is this version's, byte for byte."""
    return output_folder.is_complete(
        project, {path: source.read_bytes() for path, source in _runtime_files(board).items()}
    )


def _runtime_files(board: Board) -> dict[PurePosixPath, Path]:
    """Return where each runtime file goes in a project for ``board``, sorted, and where it is.

    The library is whole and the same for every board: ``nn_kernels.h`` chooses when it is compiled.
    """
    root = paths.firmware()
    rig = ["port/nn_port.h", "port/nn_mark.c"]
    if board.is_host:
        rig.append("port/nn_port_host.c")
    else:
        rig += ["port/nn_port_semihosting.c", "startup/nn_startup.c"]
    files = {PurePosixPath(render.RIG, name): root / name for name in rig}
    for path in root.rglob("*.[ch]"):
        name = path.relative_to(root)
        if name.parts[0] not in _RIG_FOLDERS:
            files[PurePosixPath(render.LIBRARY, "firmware", name.as_posix())] = path
    return dict(sorted(files.items()))


def _sources(copied: Iterable[PurePosixPath]) -> render.RuntimeFiles:
    """Return the C files among ``copied``: of the library, and of the rig."""
    sources = [str(path) for path in copied if path.suffix == ".c"]
    port = tuple(path for path in sources if path.startswith(f"{render.RIG}/"))
    return render.RuntimeFiles(tuple(path for path in sources if path not in port), port)


def _dense_macs(layer: Call) -> int:
    """Return the multiply-accumulates of a layer without pruning; 0 without weights."""
    if not isinstance(layer.op, Weighted):
        return 0
    height, width, _ = layer.out_shape
    return int(layer.op.weight.size) * height * width


def _storage(layer: Call, levels: int) -> StorageFacts | None:
    op = layer.op
    if not isinstance(op, Weighted):
        return None
    return StorageFacts(
        name=layer.storage,
        stored_bytes=layer.stored_bytes,
        execution_bytes=layer.execution_bytes,
        kept_weights=kept_macs(op, 1, levels - 1),
        entropy_bytes=entropy.layer_bytes(op.weight, op.group_size, op.group_level, levels),
    )


def _edges(graph: Graph, names: tuple[str, ...]) -> tuple[EdgeFacts, ...]:
    values = map(graph.value, names)
    return tuple(EdgeFacts(value.name, value.meaning, value.shape) for value in values)


def _info(packed: Program, graph_sha256: str, cycles_source: str) -> ProjectInfo:
    graph = packed.graph
    levels = tuple(
        LevelFacts(
            name=level.name,
            sparsity=level.sparsity,
            macs=level.cost.macs,
            cycles=level.cost.cycles,
            weight_bytes=level.cost.weight_bytes,
            own_bytes=sum(layer.own_bytes(index) for layer in packed.layers),
        )
        for index, level in enumerate(packed.levels)
    )
    layers = tuple(
        LayerFacts(
            index=layer.index,
            name=layer.name,
            c_name=f"{graph.name}_{layer.c_name}",
            kernel=layer.kernel,
            reason=layer.reason,
            flash_bytes=layer.flash_bytes,
            storage=_storage(layer, len(packed.levels)),
            macs=tuple(level.macs for level in layer.levels),
            dense_macs=_dense_macs(layer),
            weight_bytes=tuple(level.weight_bytes for level in layer.levels),
            peak_ram_bytes=packed.peak_bytes[layer.index],
            cycles=tuple(level.cycles for level in layer.levels),
        )
        for layer in packed.layers
    )
    return ProjectInfo(
        network=graph.name,
        target=packed.target,
        graph_sha256=graph_sha256,
        generator_version=render.GENERATOR_VERSION,
        inputs=_edges(graph, graph.inputs),
        outputs=_edges(graph, graph.outputs),
        arena_bytes=packed.arena_bytes,
        weights_bytes=len(packed.image_bytes),
        execution_bytes=packed.execution_bytes,
        cycles_source=cycles_source,
        levels=levels,
        layers=layers,
    )
