"""What a generated project says of itself: the facts that later commands need, and its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

from codegen.errors import UserError
from codegen.formats.codecs import CODECS
from codegen.graph.ir import Shape
from codegen.target import boards
from codegen.target.target import Target, resolve

MARKER = "nestnet-project.json"
"""The file that says a folder is ours, and what is in it."""

MARKER_VERSION = 7
_DECODED = frozenset(codec.name for codec in CODECS if codec.decoder_bytes)


@dataclass(frozen=True)
class StorageFacts:
    """How a layer's weights and positions lie in flash, all levels together."""

    name: str
    """As in "nested, positions deltas"."""
    stored_bytes: int
    execution_bytes: int
    """What kernels read."""
    kept_weights: int
    """At the densest level, zeros of kept groups included."""
    entropy_bytes: int
    """Bound on any code of the weights and of the positions; :mod:`codegen.formats.entropy`."""

    @property
    def bytes_per_kept_weight(self) -> float | None:
        """Return the stored bytes a kept weight costs; None if none is kept."""
        return self.stored_bytes / self.kept_weights if self.kept_weights else None


@dataclass(frozen=True)
class LayerFacts:
    """What later commands need to know of a layer."""

    index: int
    name: str
    c_name: str
    """Its function in model.c, ``<network>_layer_<index>_<name>``."""
    kernel: str
    reason: str
    flash_bytes: int
    storage: StorageFacts | None
    """None for a layer without weights."""
    macs: tuple[int, ...]
    """Per level."""
    dense_macs: int
    """Without any pruning."""
    weight_bytes: tuple[int, ...]
    """Flash each level reads."""
    peak_ram_bytes: int
    """Fewest arena bytes the layer can run in (docs/adr/0008-shared-buffers.md)."""
    cycles: tuple[int, ...]
    """Per level, by the analytic model."""

    @property
    def codecs(self) -> frozenset[str]:
        """Return the codecs that have to be decoded for the layer."""
        words = self.storage.name.split(" ") if self.storage is not None else []
        return frozenset(word.rstrip(",") for word in words) & _DECODED


@dataclass(frozen=True)
class LevelFacts:
    """What later commands need to know of a level."""

    name: str
    sparsity: float
    macs: int
    cycles: int
    """As ``ProjectInfo.cycles_source`` says."""
    weight_bytes: int
    own_bytes: int
    """Flash that dropping this level would free, if it is the densest of those left."""


@dataclass(frozen=True)
class EdgeFacts:
    """What later commands need to know of an input or output."""

    name: str
    meaning: str
    shape: Shape

    @property
    def size_bytes(self) -> int:
        """Return the bytes of one sample."""
        return prod(self.shape)


@dataclass(frozen=True)
class ProjectInfo:
    """Content of the marker file."""

    network: str
    target: Target
    graph_sha256: str
    generator_version: str
    inputs: tuple[EdgeFacts, ...]
    outputs: tuple[EdgeFacts, ...]
    arena_bytes: int
    weights_bytes: int
    execution_bytes: int
    """What the weights would take with no stream coded."""
    cycles_source: str
    """Where the levels' cycles come from."""
    levels: tuple[LevelFacts, ...]
    layers: tuple[LayerFacts, ...]

    @property
    def output_bytes(self) -> int:
        """Return the bytes of all outputs of one sample."""
        return sum(output.size_bytes for output in self.outputs)

    @property
    def callers_bytes(self) -> int:
        """Return the bytes of inputs and outputs that do not lie in the arena."""
        if len(self.inputs) > 1 or len(self.outputs) > 1:
            return 0
        return self.inputs[0].size_bytes + self.outputs[0].size_bytes

    def as_json(self) -> dict[str, Any]:
        """Return plain data for a JSON file; of the board its id."""
        return asdict(self) | {"target": self.target.words}


def read_info(project: Path) -> ProjectInfo:
    """Return what a generated project says of itself.

    Raises:
        UserError: the folder is not a project of this version.
    """
    try:
        data = json.loads((project / MARKER).read_text(encoding="utf-8"))
        if data.pop("nestnet_project") != MARKER_VERSION:
            raise ValueError("another version")
        del data["files"]
        words = data.pop("target")
        said = {key: word for key, word in words.items() if key != "board"}
        target = resolve(boards.of_project(project), **said)
        if target.words != words:
            raise ValueError("other choices")
        return _info_from(data, target)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            str(project),
            "not a project this version of nestnet generated",
            got=f"no usable {MARKER} ({type(error).__name__})",
            expected="a folder written by `nestnet codegen`",
            action="Run `nestnet codegen` again",
        ) from error


def _info_from(data: dict[str, Any], target: Target) -> ProjectInfo:
    levels = tuple(LevelFacts(**item) for item in data.pop("levels"))
    per_level = ("macs", "weight_bytes", "cycles")
    layers = []
    for item in data.pop("layers"):
        item |= {key: tuple(item[key]) for key in per_level}
        if item["storage"] is not None:
            item["storage"] = StorageFacts(**item["storage"])
        layers.append(LayerFacts(**item))
    for edges in ("inputs", "outputs"):
        data[edges] = tuple(
            EdgeFacts(**(item | {"shape": tuple(item["shape"])})) for item in data[edges]
        )
    return ProjectInfo(target=target, levels=levels, layers=tuple(layers), **data)


def check_complete(project: Path) -> None:
    """Refuse a project that lacks a file it was written with.

    Raises:
        UserError: the first missing file.
    """
    lacking = missing(project)
    if lacking:
        raise UserError(
            str(project),
            "the project is incomplete",
            got=f"no {lacking[0]}",
            expected=f"the files that {MARKER} lists",
            action="Run `nestnet codegen` again",
        )


def missing(project: Path) -> list[PurePosixPath]:
    """Return the files that a project was written with and lacks now."""
    return [path for path in listed(project) if not (project / path).is_file()]


def listed(folder: Path) -> tuple[PurePosixPath, ...]:
    """Return the files that the marker says were written; none if it cannot be read."""
    return tuple(written_hashes(folder))


def written_hashes(folder: Path) -> dict[PurePosixPath, str]:
    """Return what the marker says was written; nothing if it cannot be read."""
    try:
        written = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        return {PurePosixPath(name): str(digest) for name, digest in written.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
