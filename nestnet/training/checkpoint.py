"""Training state on disk: one safetensors file, replaced atomically, checked when read.

It holds the network, what the optimizer remembers and what the next epoch needs to know. Random
numbers need no state of their own: every epoch seeds its generators from (seed, epoch).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codegen.errors import UserError
from nestnet.runfiles import write_atomic

SCHEMA_VERSION = 3
_KIND = "nestnet-checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A training run after ``epoch`` finished epochs."""

    config_toml: str
    epoch: int
    """Finished epochs."""
    input_shape: tuple[int, int, int]
    """Height, width, channels."""
    class_names: tuple[str, ...]
    accuracy_float: tuple[float, ...]
    """Per level, at the end of the float phases; empty before that."""
    quantized: bool
    """Whether the network has entered the quantization-aware phase."""
    network: Mapping[str, Tensor]
    """The network's state_dict."""
    optimizer: Mapping[str, Tensor]
    """What the optimizer remembers: ``momentum_buffer.`` and the like before a parameter's name."""
    average: Mapping[str, Tensor] = field(default_factory=dict)
    """Averaged weights and statistics by their names in the network; empty without an average."""
    budget: Mapping[str, Any] | None = None
    """What pruning to a flash budget goes on from; None without one."""


def save_checkpoint(state: Checkpoint, path: Path) -> None:
    """Write ``state`` to ``path`` atomically."""
    tensors = {f"network.{k}": _stored(v) for k, v in state.network.items()}
    tensors |= {f"optimizer.{k}": _stored(v) for k, v in state.optimizer.items()}
    tensors |= {f"average.{k}": _stored(v) for k, v in state.average.items()}
    about: dict[str, Any] = {
        "config_toml": state.config_toml,
        "epoch": state.epoch,
        "input_shape": state.input_shape,
        "class_names": state.class_names,
        "accuracy_float": state.accuracy_float,
        "quantized": state.quantized,
    }
    if state.budget is not None:
        about["budget"] = dict(state.budget)
    text = json.dumps(about, sort_keys=True)
    header = {"schema_version": SCHEMA_VERSION, "about": text, "sha256": _digest(tensors, text)}
    # One entry only: safetensors writes several in no fixed order.
    write_atomic(path, save(tensors, metadata={_KIND: json.dumps(header)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        UserError: absent, not a checkpoint, truncated, corrupted, or of a newer version.
    """
    if not path.is_file():
        raise _unreadable(path, "no such file", "train first, or give another run")
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(path, file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error, "restore the file, or train again") from error
    text = str(header.get("about"))
    if header.get("sha256") != _digest(tensors, text):
        raise _unreadable(path, "content that does not match its hash", "restore it or train again")
    about = json.loads(text)
    if header["schema_version"] == 1 and about.get("budget") is not None:
        raise _unreadable(
            path, "a flash budget's state as an older nestnet wrote it", "train the run again"
        )
    return Checkpoint(
        config_toml=about["config_toml"],
        epoch=about["epoch"],
        input_shape=tuple(about["input_shape"]),
        class_names=tuple(about["class_names"]),
        accuracy_float=tuple(about["accuracy_float"]),
        quantized=about["quantized"],
        network=_with_prefix(tensors, "network."),
        optimizer=_with_prefix(tensors, "optimizer.")
        | {
            f"momentum_buffer.{k}": v for k, v in _with_prefix(tensors, "momentum.").items()
        },  # the name up to schema version 2
        average=_with_prefix(tensors, "average."),
        budget=about.get("budget"),
    )


def _header(path: Path, metadata: Mapping[str, str]) -> dict[str, object]:
    """Return the checkpoint's own header after checking kind and version; ValueError if damaged."""
    if _KIND not in metadata:
        raise _unreadable(path, "another kind of file", "give a run's checkpoint.safetensors")
    header = json.loads(metadata[_KIND])
    version = header.get("schema_version") if isinstance(header, dict) else None
    if not isinstance(version, int):
        raise ValueError("no schema version")
    if version > SCHEMA_VERSION:
        raise UserError(
            str(path),
            "checkpoint of a newer version",
            got=f"schema version {version}",
            expected=f"at most {SCHEMA_VERSION}",
            action="Update nestnet",
        )
    return dict(header)


def _unreadable(path: Path, got: object, action: str) -> UserError:
    return UserError(
        str(path),
        "cannot read the checkpoint",
        got=got,
        expected="a complete checkpoint.safetensors",
        action=action[0].upper() + action[1:],
    )


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
