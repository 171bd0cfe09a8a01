"""Rehearse the end of a training before its start: what would be refused then is refused now."""

from __future__ import annotations

import copy
import re

import numpy as np
import torch

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Level, Provenance
from nestnet.config import TrainConfig
from nestnet.exporting.exporter import export
from nestnet.exporting.model_file import level_names, with_task
from nestnet.net.network import NestedNet
from nestnet.net.quantize import quantize
from nestnet.sparsity.prune import achieved_sparsity, prune
from nestnet.training.session import Session, prunable_layers
from nestnet.version import VERSION

_IMAGES = 2
"""Random images that activation ranges are measured on."""


def rehearse(session: Session) -> None:
    """Prune, quantize, export and verify a copy of the untrained network, in memory.

    Neither the network nor any random number generator changes.

    Raises:
        UserError: the graph cannot be made or breaks a rule, or a name cannot be stored.
    """
    session.task.check_names(session.output_names)
    config = session.config
    with torch.random.fork_rng(devices=[]):
        network = copy.deepcopy(session.network).cpu()
        pruned = _pruned(network, config)
        random = np.random.default_rng(config.seed)
        shapes = network.input_shapes
        images = tuple(network.pixels.random(random, (_IMAGES, *s)) for s in shapes)
        quantize(network, images)
    levels = [
        Level(name, share, None, None)
        for name, share in zip(level_names(pruned), pruned, strict=True)
    ]
    provenance = Provenance(
        VERSION, "0" * 64, session.model, session.data.title, session.output_names
    )
    meanings = session.task.meanings(network.output_shapes)
    try:
        graph = export(network, levels, provenance, "rehearsal", meanings)
        nestfile.to_bytes(with_task(graph, session.task))
    except UserError as error:
        raise _located(network, error) from None


def _pruned(network: NestedNet, config: TrainConfig) -> list[float]:
    """Prune ``network`` to the final sparsities; return those. A flash budget finds its own."""
    layers = prunable_layers(network, config)
    if config.flash_bytes or not layers:
        return [0.0] * config.levels
    prune(layers, config.sparsity, 1.0, config.group_size, config.allocation)
    return achieved_sparsity(layers, config.levels)


def _located(network: NestedNet, error: UserError) -> UserError:
    """Return ``error`` with the user's source line where it names an operator of the graph."""
    named = re.search(r"op \d+ \((.+)\)", error.where)
    if named is None:
        return error
    stage = next((s.stage for s in network.steps if s.stage.name == named[1]), None)
    return UserError(
        error.where if stage is None else network.where(stage),
        "the integer arithmetic cannot express it",
        got=error.got,
        expected=error.expected,
        action="Change the layer; nothing has been trained yet",
    )
