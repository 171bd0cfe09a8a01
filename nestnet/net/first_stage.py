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
    """Return ``network`` behind a stage that makes its input x of pixel / 255.

    The stage is a batch norm that stands alone, with mean and std as its fixed statistics; their
    values are returned by the names the stage gives them. ``names`` are those of the module's
    parameters and buffers: the stage's are others.
    """
    taken = {tensor.name for tensor in network.tensors} | {stage.name for stage in network.stages}
    taken |= {name.split(".")[0] for name in (*taken, *names)}
    name = _NAME
    while name in taken:
        name += "_"
    x = network.tensor(network.input)
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
            input=source.name,
            tensors=(source, *network.tensors),
            stages=(stage, *network.stages),
        ),
        constants,
    )
