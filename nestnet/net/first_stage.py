"""Put the normalization of pixels in front of a traced network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor as Values

from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.stages import Network
from nestnet.net.tensors import NormParams, Tensor
from nestnet.pixels import WHITE, Pixels

_NAME = "normalize"


def normalized(
    network: Network, pixels: Pixels, names: Iterable[str] = ()
) -> tuple[Network, dict[str, Values]]:
    """Return ``network`` behind a stage for each input that makes its x of pixel / 255.

    Such a stage is a batch norm that stands alone, with mean and std as its fixed statistics; their
    values are returned by the names the stage gives them. ``names`` are those of the module's
    parameters and buffers: the stages' are others.
    """
    names = tuple(names)
    constants: dict[str, Values] = {}
    for index in range(len(network.inputs)):
        network, more = _one_normalized(network, index, pixels, (*names, *constants))
        constants |= more
    return network, constants


def _one_normalized(
    network: Network, index: int, pixels: Pixels, names: Iterable[str]
) -> tuple[Network, dict[str, Values]]:
    """Return :func:`normalized` of the input at ``index`` alone."""
    taken = {tensor.name for tensor in network.tensors} | {stage.name for stage in network.stages}
    taken |= {name.split(".")[0] for name in (*taken, *names)}
    name = _NAME
    while name in taken:
        name += "_"
    x = network.tensor(network.inputs[index])
    channels = x.shape[2]
    params = NormParams(
        name, None, None, f"{name}.running_mean", f"{name}.running_var", 0.0, 0.0, fixed=True
    )
    stage = Conv2D.unit(name, f"{name}.pixels", x.name, channels, params)
    source = Tensor(stage.input, x.torch_shape)
    constants = {
        params.running_mean or "": torch.tensor(pixels.center).expand(channels) / WHITE,
        params.running_var or "": (torch.tensor(pixels.spread).expand(channels) / WHITE).square(),
    }
    return (
        replace(
            network,
            inputs=(*network.inputs[:index], source.name, *network.inputs[index + 1 :]),
            tensors=(source, *network.tensors),
            stages=(stage, *network.stages),
        ),
        constants,
    )
