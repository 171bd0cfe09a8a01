"""The public Python functions, for scripts and for training loops of your own.

Your own model, trained by nestnet::

    run = nestnet.train(module=MyNet(), dataset="folder", data="photos/", epochs=60)

or by you::

    net = nestnet.nest(MyNet(), (32, 32, 3), sparsity=(0.9, 0.5))
    ...                                            # train: outputs = net(images, level)
    nestnet.quantize(net, some_training_images)    # ... and perhaps train on, quantized
    nestnet.export(net, "my_net.nestnet")
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Level, Provenance
from nestnet import config as configs
from nestnet import runs, tasks
from nestnet.arguments import (
    checked_accuracies,
    checked_module,
    checked_names,
    checked_network,
    checked_path,
    checked_run,
    checked_samples,
    checked_shapes,
    swapped_shape,
)
from nestnet.classes import check_names
from nestnet.config import TrainConfig
from nestnet.exporting.exporter import export as export_graph
from nestnet.exporting.model_file import c_identifier, level_names, with_task
from nestnet.frontend.tracing import trace
from nestnet.frontend.trained_inputs import notice_other_inputs
from nestnet.net.finite import check_ranges, check_state
from nestnet.net.images import Images, checked_images
from nestnet.net.nested import GradRouting
from nestnet.net.network import NestedNet, predict
from nestnet.net.quantize import DEFAULT as QUANTIZATION
from nestnet.net.quantize import Quantization
from nestnet.net.quantize import quantize as quantize_network
from nestnet.net.tensors import Given
from nestnet.notices import notice
from nestnet.pixels import DEFAULT, pixels_of
from nestnet.samples import Seen, measured, samples_of
from nestnet.sparsity.prune import achieved_sparsity, check_prunable, prune
from nestnet.tasks._task import Result
from nestnet.training import distributed
from nestnet.training.checkpoint import load_checkpoint
from nestnet.training.evaluation import answers, scores
from nestnet.training.session import OWN, prepare
from nestnet.training.state import restore
from nestnet.training.train import resume as resume_run
from nestnet.training.train import train as train_run
from nestnet.version import VERSION

_FEW_STEPS = 3
"""Of an output, below which :func:`quantize` says so."""


def nest(
    module: nn.Module,
    input_shape: Given | tuple[Given, ...],
    *,
    sparsity: float | Sequence[float] = TrainConfig.sparsity,
    group: str = TrainConfig.group,
    allocation: str = TrainConfig.allocation,
    routing: str = TrainConfig.routing,
    dense_layers: Sequence[str] = (),
    mean: float | Sequence[float] = (),
    std: float | Sequence[float] = (),
    samples: NDArray[Any] | None = None,
    reparameterize: bool | None = None,
) -> NestedNet:
    """Return ``module`` as a nested network, pruned at once by weight magnitude.

    Module and nested network are fed x = (pixel - 128) / 64, or with ``mean`` and ``std``
    x = (pixel / 255 - mean) / std, torchvision's convention; your own training loop feeds that x,
    :func:`quantize` and the device compute it from pixels. A network that was trained on other
    inputs than it is said to see loses its accuracy.

    ``net(x, level)`` returns what the module returns: where that ends in a softmax or log-softmax,
    probabilities or their logarithms; ``net.logits(x, level)`` returns what that reads. Any other
    function at the end, a sigmoid too, is a layer like others, and a notice speaks of it.
    A module may return maps, and several tensors (a tuple, list or dict): the network then returns
    a tuple of them, and a device has as many outputs, with a dict's keys as their names.

    Parameters with ``requires_grad=False`` stay frozen, at every level. They are pruned like
    others, without a chance to recover; ``dense_layers`` keeps their layers whole. Batch-norm
    statistics move in training mode, also below a frozen affine: each level needs its own.

    Args:
        module: any module that :func:`nestnet.frontend.tracing.trace` accepts, with its current
            weights.
        input_shape: height, width, channels of the images; of a module that takes samples in a
            row, (n, c, w), samples and channels, or 1, samples, channels. A tuple with such a shape
            for each of several inputs.
        sparsity: one per level, strictly decreasing.
        group: 1x1, 1x2 or 1x4 weights kept or pruned together; auto is 1x4.
        allocation: global, latency or uniform over the layers.
        routing: shared, shell or mixed gradients.
        dense_layers: layers kept dense besides the first convolution and the last linear.
        mean: of pixel / 255, one number or one per channel: 0 for torchvision's ToTensor.
        std: the same; 1 for ToTensor. Where all channels have the same mean and std, and
            255 * mean is a whole number, the device needs no arithmetic for them. Otherwise one
            layer more, an 8-bit multiply-add per pixel and channel, normalizes its input.
        samples: windows of the training set, int16 or float32 (n, h, w, c), where the input is no
            image. The network is then fed (raw - mean) / std in their numbers, as measured on them
            where mean and std are not given: ``net.pixels.to_float(raw)`` makes it of a tensor
            (n, h, w, c), :func:`quantize` takes such windows, and a device gets raw numbers.
        reparameterize: whether parallel convolutions of one tensor that are added (RepVGG,
            MobileOne) become one convolution with one batch norm, which computes the same in
            evaluation mode, in float; int8 may be further from it or nearer. None leaves them,
            with a notice of what they cost.

    Raises:
        UserError: the module cannot be traced, or the options do not fit it.
    """
    module = checked_module("module", module)
    shapes = checked_shapes("input_shape", input_shape)
    given: Any = {"sparsity": sparsity, "dense_layers": dense_layers, "mean": mean, "std": std}
    options = TrainConfig(group=group, allocation=allocation, routing=routing, **given)
    seen: Seen = DEFAULT
    if samples is None:
        for shape in reversed(shapes):
            seen = pixels_of(options.mean, options.std, shape[-1])
    else:
        raw = checked_samples("samples", samples, shapes)
        seen = samples_of(*measured(raw, options.mean, options.std), raw.dtype)
    try:
        network = trace(module, shapes, seen, reparameterize)
    except UserError as problem:
        raise swapped_shape(module, shapes[0]) or problem from None
    _note_bounds(network)
    network.set_levels(options.levels)
    network.set_grad_routing(cast(GradRouting, options.routing))
    if options.is_dense:
        return network
    layers = network.prunable((*network.default_dense_layers(), *options.dense_layers))
    check_prunable(layers, options.sparsity, options.group_size, allocation)
    prune(layers, options.sparsity, 1.0, options.group_size, allocation)
    return network


def _note_bounds(network: NestedNet) -> None:
    """Say that what a sigmoid makes is not what losses of logits take."""
    bounds = (each for parts in network.network.bounds for each in parts if each is not None)
    for bound in {
        each.function: each for each in bounds if "softmax" not in each.function
    }.values():
        notice(
            f"the module ends in a {bound.function}, and so does the nested network: its outputs "
            f"lie in {bound.low:g}..{bound.high:g}, and net.logits returns them as they are. "
            "Train it with a loss of such numbers (BCELoss, MSELoss); cross_entropy and "
            "BCEWithLogitsLoss would take them for logits: for these leave it out of the module"
        )


def train(
    config: TrainConfig | None = None,
    *,
    module: nn.Module | None = None,
    out: str | Path = runs.DEFAULT_ROOT,
    quiet: bool = False,
    **settings: Any,
) -> Path:
    """Train a new run and return its folder.

    Args:
        config: where to start from; default: :class:`TrainConfig` with what the task prefers.
        module: your own model, instead of ``config.model``; it starts from its current weights.
        out: folder of the run folders.
        quiet: show no progress. What is odd about data or model is said all the same, as a
            warning of the class :class:`nestnet.notices.Notice`.
        **settings: fields of :class:`TrainConfig` to change; ``data`` without ``dataset`` or
            ``config`` means class folders, ``levels`` the default sparsities of so many. Short
            forms are those of the command line: ``resize=48``, ``mean=0``, ``flash_bytes="48KiB"``.

    Raises:
        UserError: see :func:`nestnet.training.train.train`; also an unknown setting, or both a
            module and a model; a firmware that in the end takes more than flash_total_bytes.
    """
    if config is not None and not isinstance(config, TrainConfig):
        raise UserError(
            "nestnet.train",
            "config is no TrainConfig",
            got=type(config).__name__,
            expected="nestnet.config.TrainConfig, or none",
            action="Give a model as module=..., single settings by their names: epochs=60",
        )
    module = _own_module(module)
    values = configs.settings(settings, "nestnet.train", "no such setting")
    model = settings.get("model", "auto" if config is None else config.model)
    if module is not None and model != "auto" and not str(model).startswith(OWN):
        raise UserError(
            "nestnet.train",
            "both a module and a model",
            got=f"module={type(module).__name__}, model={model!r}",
            expected="one of them",
            action="Leave model out to train the module",
        )
    chosen = replace(config, **values) if config else configs.chosen(values, None, tasks.defaults)
    if chosen.tile and chosen.board:
        from nestnet.preview import tile  # imports the compiler's side

        chosen = tile.resolve(chosen, module, quiet=quiet)
    if chosen.flash_total_bytes and not chosen.flash_bytes:
        from nestnet.preview.flash_total import resolve  # imports the compiler's side

        chosen = resolve(chosen, module)
    return _reported(train_run(chosen, Path(out), quiet=quiet, module=module), quiet)


def resume(run: str | Path, *, module: nn.Module | None = None, quiet: bool = False) -> Path:
    """Continue an interrupted run; ``module`` as for :func:`train` if it was trained from one.

    Raises:
        UserError: as :func:`train`, or the run's files cannot be used.
    """
    folder = runs.find(checked_run("run", run))
    return _reported(resume_run(folder, quiet=quiet, module=_own_module(module)), quiet)


def _reported(run: Path, quiet: bool) -> Path:
    """Return the trained ``run`` once it is said how it fits the flash budgets it may have."""
    config = configs.load(run / runs.CONFIG)
    if (config.flash_bytes or config.flash_total_bytes) and distributed.is_leader():
        from nestnet.preview.flash_total import report  # imports the compiler's side

        report(config, run, quiet=quiet)
    return run


def _own_module(module: object) -> nn.Module | None:
    """Return the ``module`` to train, nested already or not; None where there is none."""
    if module is None or isinstance(module, NestedNet):
        return module
    return checked_module("module", module)


def evaluate(
    run: str | Path, *, data: str = "", module: nn.Module | None = None
) -> tuple[Any, ...]:
    """Return what every level reaches on the test images, from the run's checkpoint: of a
    classification its :class:`LevelAccuracy`.

    Args:
        run: run folder or its name.
        data: where the data set is now, if it has moved since the training.
        module: as for :func:`train`, if the run was trained from one.

    Raises:
        UserError: no such run, an unfinished one, a checkpoint that cannot be used, or data whose
            classes or image shape are not those of the training.
    """
    folder = runs.find(checked_run("run", run))
    config = configs.load(folder / runs.CONFIG)
    state = load_checkpoint(folder / runs.CHECKPOINT)
    if not state.quantized:
        raise UserError(
            str(folder),
            "the run is not finished",
            got=f"{state.epoch} of {config.epochs} epochs",
            expected="a run that reached its quantization-aware phase",
            action=f"Continue it: nestnet train --resume {folder}",
        )
    fresh = replace(config, data=data or config.data, init_from="")
    session = prepare(fresh, True, _own_module(module), resumed=True)
    restore(session, state)
    task, levels = session.task, range(config.levels)
    found = [answers(session.network, session.test, level) for level in levels]
    quantized = [task.score(each, session.test.targets) for each in found]
    session.network.set_quantize(False, bn_frozen=True)
    plain = scores(session.network, session.test, levels)
    pruned = achieved_sparsity(session.layers, config.levels)
    results = itertools.starmap(Result, zip(levels, pruned, plain, quantized, strict=True))
    return tuple(
        task.report(result, each, session.test.targets, session.data)
        for result, each in zip(results, found, strict=True)
    )


def quantize(network: NestedNet, images: Images, config: Quantization = QUANTIZATION) -> NestedNet:
    """Turn on fake quantization with activation ranges measured on ``images``; return ``network``.

    Args:
        network: from :func:`nest`; its weights stay as they are, batch norm is frozen.
        images: uint8 (n, h, w, c) pixels of the training set, a tuple with an array for each of
            several inputs; some hundred are enough. A notice says so where the first batch norm was
            trained on clearly other inputs.
        config: how activation ranges are found.

    A notice names outputs that have next to no int8 values beside a much larger one.

    Raises:
        UserError: the images have another type or shape, or a weight, a statistic or a layer's
            output is not finite.
    """
    network = checked_network("network", network)
    arrays = checked_images(images, network.input_shapes, network.pixels.dtype)
    check_state(network)
    notice_other_inputs(network, arrays)
    quantize_network(network, arrays, config)
    _note_coarse_outputs(network, arrays)
    return network


def _note_coarse_outputs(network: NestedNet, images: Images) -> None:
    """Say which numbers of a vector have next to no int8 values because another one of it is so
    much larger."""
    logits = predict(network, images, network.n_levels - 1)
    for output in logits if isinstance(logits, tuple) else (logits,):
        if output.ndim > 2:
            continue
        largest = np.abs(output).max(axis=0)
        step = float(largest.max()) / 127
        coarse = np.flatnonzero(largest < _FEW_STEPS * step)
        if len(coarse):
            notice(
                f"{len(coarse)} of {len(largest)} outputs (the first is output {coarse[0]}) stay "
                f"below {_FEW_STEPS} int8 steps of {step:.3g}: all outputs share one scale, and "
                f"the largest reaches {largest.max():.3g}. Scale the targets alike before training"
            )


def export(
    network: NestedNet,
    path: str | Path,
    *,
    accuracy_float: Sequence[float | None] = (),
    accuracy_quantized: Sequence[float | None] = (),
    class_names: Sequence[str] = (),
    model: str = "own model",
    dataset: str = "own data",
    task: str = "",
) -> Path:
    """Write a quantized ``network`` of your own training loop as a .nestnet file.

    Args:
        network: after :func:`quantize`.
        path: the file; its stem names the network in C.
        accuracy_float: per level on your test set, if known.
        accuracy_quantized: the same for the fake-quantized network.
        class_names: one per logit; left out, the file names none.
        model: what to call the model in generated files.
        dataset: what to call the data set.
        task: what it was trained for, a file of nestnet/tasks/, with the numbers an untrained
            network of it has; left out, the outputs tell.

    A notice says where a device's outputs are the logits of a log-softmax, or a single number.

    Raises:
        UserError: class names that do not name the outputs, or accuracies that are not one a level
            in 0..1; weights, statistics or activation ranges are not finite or unknown; the network
            does not fit the integer contract, or its outputs not the task.
    """
    network = checked_network("network", network)
    path = checked_path("path", path)
    check_state(network)
    check_ranges(network)
    names = checked_names("class_names", class_names)
    if names:
        check_names("class_names", names, network.classes)
    count = network.n_levels
    floats = checked_accuracies("accuracy_float", accuracy_float, count)
    ints = checked_accuracies("accuracy_quantized", accuracy_quantized, count)
    known = tasks.of(task) if task else None
    if known:
        known.check_ends(str(model), network.network.bounds)
        known.check_seen(network.pixels)
    _note_outputs(network, is_told=known is not None)
    pruned = achieved_sparsity(network.weighted(), count)
    levels = [
        Level(*values) for values in zip(level_names(pruned), pruned, floats, ints, strict=True)
    ]
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(key.encode() + tensor.cpu().contiguous().numpy().tobytes())
    provenance = Provenance(VERSION, digest.hexdigest(), str(model), str(dataset), names)
    meanings = known.meanings(network.output_shapes) if known else ()
    graph = export_graph(network, levels, provenance, c_identifier(path.stem), meanings)
    graph = with_task(graph, known) if known else graph
    if known and not known.fits(graph):
        raise UserError(
            f"task {known.name}",
            "a device cannot make answers of the network's outputs",
            got=", ".join("x".join(map(str, shape)) for shape in network.output_shapes),
            expected=known.fitting,
            action="Name another task, or none",
        )
    nestfile.save(graph, path)
    return path


def _note_outputs(network: NestedNet, *, is_told: bool) -> None:
    """Say where a device's outputs are not what a user may take them for; with a task it is told
    what a single number means."""
    for stage in network.network.stages:
        if stage.notice:
            notice(stage.notice)
    if network.output_shapes == ((1, 1, 1),) and not is_told:
        notice(
            "the network has one output: its arg-max is always class 0; compare the output itself "
            "with a threshold (0 for a network trained with BCEWithLogitsLoss)"
        )
