"""Networks with random weights: their size and speed are known before any training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Graph, Level, Provenance
from nestnet import models, runs
from nestnet.config import MERGES, TrainConfig
from nestnet.datasets import Dataset
from nestnet.exporting.exporter import export
from nestnet.exporting.model_file import c_identifier, level_names
from nestnet.frontend.tracing import trace
from nestnet.net.network import PrunableLayer
from nestnet.net.quantize import quantize
from nestnet.pixels import Pixels, pixels_of
from nestnet.samples import Seen
from nestnet.sparsity.levels import assign_levels, check_nested
from nestnet.sparsity.prune import achieved_sparsity, check_prunable
from nestnet.sparsity.scores import group_sizes, per_latency
from nestnet.tasks import Task
from nestnet.training.phases import measure_statistics
from nestnet.training.session import model_for, seen_by, with_measured
from nestnet.version import VERSION

_IMAGES = 8
"""Random images that batch norm and activation ranges are measured on."""


def untrained(
    model: str,
    *,
    sparsity: float | Sequence[float] = TrainConfig.sparsity,
    group: str = TrainConfig.group,
    allocation: str = TrainConfig.allocation,
    seed: int = 0,
    input_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    module: nn.Module | None = None,
    mean: float | Sequence[float] = (),
    std: float | Sequence[float] = (),
    seen: Seen | None = None,
    reparameterize: bool | None = None,
) -> Graph:
    """Return the integer graph of a model with random weights and random nested masks.

    Everything a trained network has is there, activation ranges and batch norms measured on random
    images included. Kept groups are spread evenly over the prunable layers, where training may
    prefer some layers to others.

    Args:
        model: a shipped model, ``name@width`` or ``path/to/file.py:factory``.
        sparsity: one per level, strictly decreasing; a single 0 is the dense network.
        group: 1x1, 1x2 or 1x4 weights kept or pruned together; auto is 1x4.
        allocation: global (the sparsity of the whole network), latency (the same, layers on
            large maps pruned more) or uniform (of every layer).
        seed: decides all weights, masks and images; same seed, same graph.
        input_shape: height, width, channels; default: what a shipped model was designed for.
        classes: number of logits; the same default.
        module: an own module instead of ``model``, with the weights it has; ``input_shape`` and
            ``classes`` are needed beside it.
        mean: of pixel / 255, as for :func:`nestnet.nest`.
        std: the same.
        seen: instead of mean and std, also for samples.
        reparameterize: as for :func:`nestnet.nest`.

    Raises:
        UserError: unknown model, options that do not fit it, or an input shape that is needed.
    """
    given: Any = {"sparsity": sparsity, "mean": mean, "std": std}
    options = TrainConfig(model=model, group=group, allocation=allocation, seed=seed, **given)
    if module is not None and input_shape is not None and classes is not None:
        shape, outputs = input_shape, classes
    else:
        shape, outputs = _edges(model, input_shape, classes)
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = seen or pixels_of(options.mean, options.std, shape[2])
        built = module or models.build(model, shape, outputs)
        network = trace(built, shape, seen, reparameterize)
    network.set_levels(options.levels)
    layers = {} if options.is_dense else network.prunable()
    if layers or not options.is_dense:
        check_prunable(layers, options.sparsity, options.group_size, allocation)
        _mask(layers, options, random)
    images = seen.random(np.random.default_rng(seed), (_IMAGES, *shape))
    if isinstance(seen, Pixels):
        images = torch.randint(0, 256, (_IMAGES, *shape), generator=random).to(torch.uint8).numpy()
    x = network.pixels.to_float(torch.from_numpy(images))
    measure_statistics(network, [(x, torch.zeros(_IMAGES, dtype=torch.long))])
    quantize(network, images)
    pruned = achieved_sparsity(layers, options.levels) if layers else [0.0]
    named = zip(level_names(pruned), pruned, strict=True)
    levels = [Level(name, share, None, None) for name, share in named]
    names = tuple(str(index) for index in range(outputs))
    digest = hashlib.sha256(repr((model, shape, outputs, options)).encode()).hexdigest()
    provenance = Provenance(VERSION, digest, model, f"none, random weights, seed {seed}", names)
    return export(network, levels, provenance, graph_name(model))


def of_training(
    config: TrainConfig,
    task: Task,
    data: Dataset,
    *,
    module: nn.Module | None = None,
    input_shape: tuple[int, int, int] | None = None,
    sparsity: Sequence[float] | float | None = None,
) -> Graph:
    """Return the untrained twin of the network that ``config`` trains.

    Args:
        config: the training.
        task: of the training.
        data: of the training.
        module: as for :func:`nestnet.train`.
        input_shape: height, width, channels; default: that of the data.
        sparsity: default: that of the training.

    Raises:
        UserError: as :func:`untrained`.
    """
    shape = input_shape or data.input_shape
    return untrained(
        model_for(config, task, shape),
        sparsity=config.sparsity if sparsity is None else sparsity,
        group=config.group,
        allocation=config.allocation,
        seed=config.seed,
        input_shape=shape,
        classes=task.outputs(data),
        module=module,
        reparameterize=bool(MERGES[config.reparameterize]),
        seen=seen_by(with_measured(config, data), data),
    )


def write_untrained(graph: Graph, build: Path = Path("build")) -> Path:
    """Write an untrained ``graph`` to ``build/NAME/model.nestnet``; return the path."""
    path = build / graph.name / runs.MODEL
    path.parent.mkdir(parents=True, exist_ok=True)
    nestfile.save(graph, path)
    return path


def graph_name(model: str) -> str:
    """Return the name of an untrained ``model`` as a C identifier."""
    plain = model.rpartition("/")[2].replace(".py:", "_")
    return c_identifier(f"{plain}_untrained")


def _edges(
    model: str, input_shape: tuple[int, int, int] | None, classes: int | None
) -> tuple[tuple[int, int, int], int]:
    """Return input shape and number of logits, the model's own where they are not given."""
    known = models.designed_for(model)
    if known is None and (input_shape is None or classes is None):
        raise UserError(
            f"model '{model}'",
            "your own model does not say what its input is",
            got="no input shape or no number of classes",
            expected="both",
            action="Give --input-shape 32x32x3 --classes 10, with the model's own figures",
        )
    shape, outputs = known or ((1, 1, 1), 1)
    if classes is not None and classes < 1:
        raise UserError(
            "--classes",
            "no such number of logits",
            got=classes,
            expected="at least 1",
            action="Give the number of classes",
        )
    return input_shape or shape, outputs if classes is None else classes


def _mask(layers: dict[str, PrunableLayer], options: TrainConfig, random: torch.Generator) -> None:
    """Give every layer a random level map; each level's weights are weights of the next."""
    sizes = {
        name: group_sizes(layer.weight.shape, options.group_size) for name, layer in layers.items()
    }
    scores = {name: torch.rand(size.shape, generator=random) for name, size in sizes.items()}
    if options.allocation == "latency":
        scores = {name: per_latency(scores[name], layers[name].positions) for name in layers}
    densities = [1.0 - share for share in options.sparsity]
    maps = assign_levels(scores, sizes, densities, options.allocation)
    for name, layer in layers.items():
        layer.module.set_level_map(maps[name], options.group_size)
        masks = [layer.module.mask(level) for level in range(options.levels)]
        check_nested([mask for mask in masks if mask is not None], name)
