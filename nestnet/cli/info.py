"""Say what a file or folder of nestnet holds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Graph
from codegen.graph.weighted import Weighted
from codegen.lower import lowering
from codegen.target import manifest, toolchain
from codegen.target.target import resolve
from nestnet import config, runs
from nestnet.cli import board_page

KINDS = (
    "a .nestnet file, checkpoint.safetensors, config.toml, report.json, run or project folder, "
    "or a board, chip or core by name or TOML file"
)


def describe(path: Path) -> tuple[str, Mapping[str, Any]]:
    """Return what kind of thing ``path`` is and the facts it holds, ready for JSON.

    Raises:
        UserError: nothing of nestnet, or damaged.
    """
    if not path.exists():
        page = board_page.of_name(str(path))
        if page is None:
            raise _unknown(path, "nothing there")
        return page
    if path.is_dir():
        if (path / manifest.MARKER).is_file():
            return "generated C project", _project(path)
        if (path / runs.CONFIG).is_file():
            return "training run", _run(path)
        raise _unknown(path, "a folder without any of nestnet's files")
    if path.name == manifest.MARKER:
        return "generated C project", _project(path.parent)
    if path.suffix == ".nestnet":
        return "integer network", _network(path)
    if path.suffix == ".safetensors":
        return "training checkpoint", _checkpoint(path)
    if path.suffix == ".toml":
        page = board_page.of_file(path)
        if page is not None:
            return page
        return "training configuration", asdict(config.load(path))
    if path.suffix == ".json":
        return "report", _report(path)
    raise _unknown(path, f"a file called {path.name}")


def _network(path: Path) -> dict[str, Any]:
    graph = nestfile.load(path)
    source = graph.provenance
    return {
        "name": graph.name,
        "model": source.model,
        "dataset": source.dataset,
        "classes": list(source.class_names),
        "inputs": _edges(graph, graph.inputs),
        "outputs": _edges(graph, graph.outputs),
        "operators": len(graph.ops),
        "layers": [
            {"operator": type(op).__name__, "name": op.name, "reads": list(op.inputs)}
            for op in graph.ops
        ],
        "levels": [asdict(level) for level in graph.levels],
        **_budget(graph),
        "nestnet_version": source.nestnet_version,
        "checkpoint_sha256": source.parent_sha256,
        "sha256": nestfile.file_sha256(path),
    }


def _edges(graph: Graph, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what inputs or outputs are, in their order."""
    return [
        {"name": value.name, "meaning": value.meaning, "shape": list(value.shape)}
        for value in map(graph.value, names)
    ]


def _budget(graph: Graph) -> dict[str, Any]:
    """Return how a network that was pruned to a flash budget fills it; nothing without one."""
    source = graph.provenance
    if source.flash_budget_bytes is None:
        return {}
    packed = lowering.lower(graph, resolve("host", source))
    stored = len(packed.image_bytes)
    return {
        "flash_budget_bytes": source.flash_budget_bytes,
        "codecs": source.codecs,
        "stored_bytes": stored,
        "free": 1 - stored / source.flash_budget_bytes,
        "stored_layers": [
            {
                "name": layer.name,
                "density": layer.op.density if isinstance(layer.op, Weighted) else 1.0,
                "bytes": layer.stored_bytes,
                "storage": layer.storage,
            }
            for layer in packed.layers
            if layer.storage
        ],
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    from nestnet.training.checkpoint import load_checkpoint  # imports torch

    state = load_checkpoint(path)
    trained = config.from_toml(state.config_toml, str(path))
    return {
        "model": _model_name(trained, state.input_shape),
        "dataset": trained.dataset,
        "epoch": state.epoch,
        "epochs": trained.epochs,
        "quantized": state.quantized,
        "sparsity": list(trained.sparsity),
        "accuracy_float": list(state.accuracy_float),
        "input_shape": list(state.input_shape),
        "classes": list(state.class_names),
        "parameters": sum(t.numel() for k, t in state.network.items() if k.endswith("weight")),
    }


def _run(path: Path) -> dict[str, Any]:
    trained = config.load(path / runs.CONFIG)
    found: dict[str, Any] = {
        "model": trained.model,
        "dataset": trained.dataset,
        "sparsity": list(trained.sparsity),
        "epochs": trained.epochs,
        "finished": (path / runs.MODEL).is_file(),
    }
    if found["finished"]:
        network = _network(path / runs.MODEL)
        found["model"] = network["model"]
        found["levels"] = network["levels"]
        if trained.flash_bytes:
            shown = ("flash_budget_bytes", "codecs", "stored_bytes", "free", "stored_layers")
            found |= {key: network[key] for key in shown} | {"method": trained.method}
            blocks = _blocks(path / runs.CHECKPOINT)
            for layer in found["stored_layers"]:
                layer["block"] = blocks.get(layer["name"])
    elif (path / runs.CHECKPOINT).is_file():
        found["model"] = _checkpoint(path / runs.CHECKPOINT)["model"]
    return found


def _model_name(trained: config.TrainConfig, input_shape: tuple[int, int, int]) -> str:
    """Return the model a run trains; for "auto" the one that images of this shape get."""
    from nestnet import datasets, tasks  # imports torch
    from nestnet.training.session import model_for

    task = datasets.task_of(trained.dataset) if trained.task == config.AUTO else trained.task
    return model_for(trained, tasks.of(task), input_shape)


def _blocks(path: Path) -> Mapping[str, str]:
    """Return the blocks that each layer was pruned in, if in any: "1x4", or "2 of 1x4"."""
    from nestnet.training.checkpoint import load_checkpoint  # imports torch

    state = load_checkpoint(path).budget
    blocks = {} if state is None else state["blocks"]
    return {
        name: f"1x{size}" if groups == 1 else f"{groups} of 1x{size}" if groups else "whole layer"
        for name, (size, groups) in blocks.items()
    }


def _project(path: Path) -> dict[str, Any]:
    found = manifest.read_info(path).as_json()
    keep = ("name", "kernel", "reason", "flash_bytes")
    found["layers"] = [
        {key: layer[key] for key in keep}
        | {"storage": layer["storage"] and layer["storage"]["name"]}
        for layer in found["layers"]
    ]
    found["levels"] = list(found["levels"])
    with contextlib.suppress(OSError, ValueError, KeyError):  # not built yet, or by hand
        sizes = json.loads((path / toolchain.SIZES_JSON).read_text(encoding="utf-8"))
        found["regions"] = sizes["regions"]
    return found


def _report(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            str(path),
            "cannot read the report",
            got=str(error).splitlines()[0],
            expected="JSON as `nestnet run --json` writes it",
            action="Write it again",
        ) from error
    if not isinstance(content, dict) or not ({"boards", "levels"} & set(content)):
        raise _unknown(path, "JSON of another kind")
    if isinstance(content.get("boards"), dict):
        return {
            board: result["levels"]
            for board, result in content["boards"].items()
            if isinstance(result, dict) and isinstance(result.get("levels"), list)
        }
    return content


def _unknown(path: Path, got: str) -> UserError:
    return UserError(
        str(path),
        "not something of nestnet",
        got=got,
        expected=KINDS,
        action="Check the path",
    )
