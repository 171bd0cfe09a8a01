"""Set up what a training process works with: data, network, optimizer, device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from rich.console import Console
from torch import nn

from codegen.errors import UserError
from nestnet import models, tasks
from nestnet.config import AUTO, HEARD, MERGES, TrainConfig
from nestnet.datasets import Dataset
from nestnet.frontend.tracing import trace
from nestnet.frontend.trained_inputs import notice_other_inputs
from nestnet.frontend.wrappers import unwrapped
from nestnet.net.nested import GradRouting
from nestnet.net.network import NestedNet, PrunableLayer
from nestnet.net.quantize import DEFAULT, Quantization
from nestnet.notices import notice
from nestnet.pixels import pixels_of
from nestnet.runs import weights
from nestnet.samples import Samples, Seen, measured, samples_of
from nestnet.sparsity.budget import FlashBudget
from nestnet.sparsity.prune import check_prunable, prune
from nestnet.tasks import Task
from nestnet.training import distributed
from nestnet.training.batches import Batches, check_augment, few_steps
from nestnet.training.device import choose_device, use_bf16
from nestnet.training.initial import start_from
from nestnet.training.optimizer import Averaged, optimizer_of

SMALL_IMAGE = 20
"""Images smaller than this, in pixels, get the digits model by default."""

OWN = "module:"
"""Starts the recorded model name of a module that was passed to :func:`nestnet.train`."""


@dataclass
class Session:
    """What one process trains with; the last three fields change as the run goes on."""

    config: TrainConfig
    processes: distributed.Processes
    device: torch.device
    amp: bool
    """Whether the float phases run in bfloat16."""
    augment: str
    model: str
    output_names: tuple[str, ...]
    """What the task calls the outputs."""
    task: Task
    data: Dataset
    train: Batches
    test: Batches
    network: NestedNet
    layers: dict[str, PrunableLayer]
    """The layers that are pruned; empty for a dense network."""
    optimizer: torch.optim.Optimizer
    console: Console
    budget: FlashBudget | None = None
    """What prunes to a flash budget; None where the sparsities decide."""
    int8: Quantization = DEFAULT
    """How activation ranges are found."""
    average: Averaged | None = None
    """Of the weights in the float phases; None without one, and once the network is quantized."""
    accuracy_float: tuple[float, ...] = field(default=())
    quantized: bool = False

    def averaged(self) -> AbstractContextManager[None]:
        """Let the network be the average of its steps while the block runs, if there is one."""
        return nullcontext() if self.average is None else self.average.shown()

    @property
    def amp_now(self) -> bool:
        """Whether a forward pass runs in bfloat16 now: not any more once it is quantized."""
        return self.amp and not self.quantized

    def prune(self, progress: float) -> None:
        """Move the masks to where the ramp wants them at ``progress`` (0..1)."""
        if self.budget is not None:
            self.budget.prune(progress)
            return
        config = self.config
        prune(self.layers, config.sparsity, progress, config.group_size, config.allocation)

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of one dense forward pass over a batch."""
        layers = self.network.weighted().values()
        return self.train.batch * sum(layer.weight.numel() * layer.positions for layer in layers)


def named_after(config: TrainConfig, module: nn.Module | None) -> TrainConfig:
    """Return ``config`` with the model it records for a ``module`` the caller brings."""
    if module is None:
        return config
    return replace(config, model=OWN + type(unwrapped(module)).__name__)


def prepare(
    config: TrainConfig, quiet: bool, module: nn.Module | None = None, *, resumed: bool = False
) -> Session:
    """Load the data and build the network ``config`` asks for, or nest ``module``.

    Of a ``resumed`` run the weights are still to come, so a flash budget is not checked; what
    there is to notice about data and network has been said when it began.

    Raises:
        UserError: any of them cannot be used.
    """
    processes = distributed.join(config.device)
    device = choose_device(config.device, processes.local_rank)
    task, data = tasks.with_data(config)
    config = with_measured(config, data)
    augment = data.default_augment if config.augment == "auto" else config.augment
    check_augment(augment, data)
    model = model_for(config, task, data.input_shape)
    torch.manual_seed(config.seed)
    if module is None:
        _refuse_own(model)
        module = models.build(model, data.input_shape, task.outputs(data))
    network = nested(config, module, task, data)
    seen, bounds = network.pixels, network.network.bounds
    if not resumed:
        task.check_ends(config.model, bounds)
        task.check_seen(seen)
    task = task.bounded(config.model, bounds, data, seen)
    network.to(device=device)
    if config.init_from:
        start_from(network, weights(config.init_from), config, task, task.names(data))
    layers = prunable_layers(network, config)
    budget = None
    if not config.is_dense:
        check_prunable(layers, config.sparsity, min(config.group_sizes), config.allocation)
    if config.flash_bytes:
        budget = FlashBudget(config, network, layers, resumed=resumed)
        layers = {} if budget.trains_dense else layers
    train = Batches(
        task.training(data.train), task, device, config.batch, processes.rank, processes.world, seen
    )
    if processes.leads and not resumed:
        notice_other_inputs(network, data.train.images)
        if isinstance(seen, Samples):
            notice(*seen.oddities(data.test.images))
        notice(*data.notes, *task.oddities(data), *few_steps(train, config))
    return Session(
        config=config,
        processes=processes,
        device=device,
        amp=use_bf16(config.amp, device),
        augment=augment,
        model=model,
        output_names=task.names(data),
        task=task,
        data=data,
        train=train,
        test=Batches(data.test, task, device, config.batch, pixels=seen),
        network=network,
        layers=layers,
        optimizer=optimizer_of(network, config),
        console=Console(quiet=quiet or not processes.leads),
        budget=budget,
        average=Averaged(network, config.ema) if config.ema else None,
    )


def with_measured(config: TrainConfig, data: Dataset) -> TrainConfig:
    """Return ``config`` with what the training data say of samples; as it is for pixels.

    Raises:
        UserError: mean and std that do not fit the data, or data that says nothing.
    """
    raw = data.train.images
    if raw.dtype == np.uint8 or (config.mean and config.reach):
        return config
    mean, std, reach = measured(raw, config.mean, config.std)
    return replace(config, mean=mean, std=std, reach=config.reach or reach)


def seen_by(config: TrainConfig, data: Dataset) -> Seen:
    """Return what a network sees of ``data``, ``config`` being :func:`with_measured`."""
    raw = data.train.images
    if raw.dtype == np.uint8:
        return pixels_of(config.mean, config.std, data.input_shape[2])
    return samples_of(config.mean, config.std, config.reach, raw.dtype, data.spectrogram)


def model_for(config: TrainConfig, task: Task, input_shape: tuple[int, int, int]) -> str:
    """Return the model that ``config`` names; of ``auto`` the task's, or the one that suits inputs
    of ``input_shape`` (h, w, c)."""
    if config.model != AUTO:
        return config.model
    return task.model or default_model(input_shape, config.dataset)


def default_model(input_shape: tuple[int, int, int], dataset: str) -> str:
    """Return the shipped model that ``auto`` means for inputs of ``input_shape`` (h, w, c)."""
    if dataset == HEARD:
        return "ds_cnn"
    if input_shape[0] == 1:
        return "cnn1d"
    return models.DEFAULT if max(input_shape[:2]) < SMALL_IMAGE else "resnet8"


def nested(config: TrainConfig, module: nn.Module, task: Task, data: Dataset) -> NestedNet:
    """Trace ``module`` and make it ready for the levels of ``config``.

    Raises:
        UserError: the module cannot be traced, or its outputs are not those of the task.
    """
    input_shape = data.input_shape
    seen = seen_by(config, data)
    merges = MERGES[config.reparameterize]
    network = module if isinstance(module, NestedNet) else trace(module, input_shape, seen, merges)
    task.check_outputs(config.model, network.output_shapes, data)
    network.set_levels(config.levels)
    network.set_grad_routing(cast(GradRouting, config.routing))
    return network


def _refuse_own(model: str) -> None:
    if model.startswith(OWN):
        raise UserError(
            "model",
            "the run was trained from a module that only Python knows",
            got=model,
            expected="the module",
            action="Continue it with nestnet.resume(run, module=...) or train from FILE.py:FACTORY",
        )


def prunable_layers(network: NestedNet, config: TrainConfig) -> dict[str, PrunableLayer]:
    """Return the layers to prune; none for a dense network.

    Raises:
        UserError: the configuration keeps a layer dense that is not there.
    """
    if config.is_dense:
        return {}
    return network.prunable((*network.default_dense_layers(), *config.dense_layers))
