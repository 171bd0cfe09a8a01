"""Batch norm: part of the stage in front of it, or else a convolution by 1."""

from __future__ import annotations

from torch import fx

from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.tensors import NormParams
from nestnet.net.walk import Aten, Unsupported, Walk

SPELLED = "batch_norm"


def _batch_norm(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    weight = walk.parameter(node.args[1], "weight")
    bias = walk.parameter(node.args[2], "bias")
    mean = walk.parameter(node.args[3], "running_mean")
    var = walk.parameter(node.args[4], "running_var")
    momentum, eps = node.args[6], node.args[7]
    if mean is None or var is None:
        raise Unsupported(
            "batch norm without running statistics",
            "track_running_stats=False",
            "track_running_stats=True",
            "Turn the statistics on",
        )
    if walk.evaluation and node.args[5]:
        raise Unsupported(
            "batch norm that uses a batch's statistics in evaluation mode",
            "training=True",
            "running statistics in evaluation mode",
            "Pass training=self.training, or use nn.BatchNorm2d",
        )
    name = mean.removesuffix(".running_mean")
    params = NormParams(name, weight, bias, mean, var, float(eps), float(momentum))  # type: ignore[arg-type]
    walk.emit(
        node,
        tensor,
        lambda stage, output: Conv2D.unit(stage, tensor.name, output, tensor.shape[2], params),
        name,
        flat_from=tensor.flat_from,
        channel_axis=tensor.channel_axis,
    )


ATEN = {"batch_norm": Aten(_batch_norm, mode_argument=5)}
