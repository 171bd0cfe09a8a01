"""Weights of another run, from which a training starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from codegen.errors import UserError
from nestnet.config import TrainConfig, from_toml
from nestnet.net.network import NestedNet
from nestnet.pixels import Pixels, pixels_of
from nestnet.tasks import Task
from nestnet.training.checkpoint import load_checkpoint


def start_from(
    network: NestedNet, path: Path, config: TrainConfig, task: Task, names: Sequence[str]
) -> None:
    """Load a checkpoint's weights into ``network``; its levels start from the densest one's.

    Raises:
        UserError: a run of another network, or one that sees pixels or names outputs otherwise.
    """
    checkpoint = load_checkpoint(path)
    task.check_same(
        str(path),
        checkpoint.class_names,
        names,
        "Start from a run of the same data set, or name the classes as they were",
    )
    before = from_toml(checkpoint.config_toml, str(path))
    if isinstance(network.pixels, Pixels):
        same = pixels_of(before.mean, before.std, network.input_shape[2]) == network.pixels
    else:
        same = (before.mean, before.std, before.reach) == (config.mean, config.std, config.reach)
    if not same:
        raise UserError(
            str(path),
            "sees its data otherwise than the new run",
            got=f"mean {before.mean}, std {before.std}, reach {before.reach:g}",
            expected=f"mean {config.mean}, std {config.std}, reach {config.reach:g}",
            action="Give the same --mean and --std",
        )
    state = {**checkpoint.network, **checkpoint.average}
    loaded = {}
    for key, own in network.state_dict().items():
        if key.startswith("observers.") or key.endswith(("level_map", "group_size_value")):
            loaded[key] = own
            continue
        found = state.get(_densest_key(key, state))
        if found is not None and found.shape[1:] == own.shape[1:] and found.dim() == own.dim():
            found = found[-1:].expand_as(own) if "running_" in key else found
        if found is None or found.shape != own.shape:
            raise UserError(
                str(path),
                f"does not fit the network at {key!r}",
                got="no such tensor" if found is None else tuple(found.shape),
                expected=tuple(own.shape),
                action="Start from a run of the same model and data set",
            )
        loaded[key] = found
    network.load_state_dict(loaded)


def _densest_key(key: str, state: Mapping[str, Tensor]) -> str:
    """Return the name ``key`` has at the densest level of ``state``: per-level lists end in .N."""
    base, _, index = key.rpartition(".")
    if not index.isdecimal():
        return key
    there = [int(k[len(base) + 1 :]) for k in state if re.fullmatch(re.escape(base) + r"\.\d+", k)]
    return f"{base}.{max(there, default=0)}"
