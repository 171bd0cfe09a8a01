"""Softmax over one dimension: inside a network, or, or its logarithm, at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from codegen.errors import UserError
from codegen.graph.ops import softmax as graph_softmax
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.integers import as_computed, steps_of
from nestnet.net.ops.common.weighted import settled
from nestnet.net.stages import Bound, GridRule, Network, OneInput, Run, Step
from nestnet.net.tensors import Tensor
from nestnet.net.walk import Aten, Unsupported, Walk, argument, axis_of

SPELLED = "softmax, log_softmax at the end"

_TABLE_BYTES = 512
"""256 exponentials of 16 bits."""
_GAIN_BYTES = 4
"""Of a level, inside a network."""
_PASSES = ("alias", "detach", "clone", "contiguous")


@dataclass(frozen=True)
class Softmax(OneInput):
    """Softmax (or its logarithm) over the channels, the last stage of a network."""

    log: bool

    makes = (graph_softmax.Softmax,)
    grid = GridRule.FIXED
    elementwise = True
    only_last = True

    @property
    def notice(self) -> str:
        """Return that a logarithm is left out."""
        return (
            "the log_softmax at the model's end is not exported: a device's outputs are the "
            "logits it is computed from, whose order is the same"
            if self.log
            else ""
        )

    @property
    def bound(self) -> Bound | None:
        """Return what it is."""
        return Bound(
            "log_softmax" if self.log else "softmax", -math.inf if self.log else 0.0, 1.0 - self.log
        )

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Compute it in single precision at least, also under fake quantization."""
        function = F.log_softmax if self.log else F.softmax
        return function(x[0], 1, dtype=torch.promote_types(x[0].dtype, torch.float32))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether it is a probability."""
        return not self.log

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a softmax; the logarithm of one is left out, logits have the same order."""
        if self.log:
            graph.share_input(self)
            return
        x = graph.values[self.input]
        if x.shape[2] > graph_softmax.MAX_CHANNELS:
            raise UserError(
                graph.net.where(self),
                "softmax over too many channels",
                got=x.shape[2],
                expected=f"at most {graph_softmax.MAX_CHANNELS}",
                action="Remove the softmax; the arg-max of the logits is the same",
            )
        table, levels = graph_softmax.make_table(x.scale[0]), graph.net.n_levels
        scale, gain = (graph_softmax.OUT_SCALE,) * levels, (graph_softmax.OUT_GAIN,) * levels
        y = graph.add_value(self.output, self.name, scale, graph_softmax.OUT_ZERO_POINT)
        graph.ops.append(graph_softmax.Softmax(self.name, x.name, y.name, table, gain))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of its table."""
        return 0 if self.log else _TABLE_BYTES


@dataclass(frozen=True)
class InnerSoftmax(OneInput):
    """Softmax over the channels, inside a network: its results have a range of their own."""

    makes = (graph_softmax.Softmax,)
    grid = GridRule.OWN
    elementwise = True
    reads_one_scale = True

    @property
    def bound(self) -> Bound | None:
        """Return what it is."""
        return Bound("softmax", 0.0, 1.0)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Compute it; with the integer operator's bits once the ranges are settled.

        Gradients are those of the real softmax.
        """
        before, after = at.tensor(self.input), at.tensor(self.output)
        y = F.softmax(x[0], 1 + before.channel_axis)
        if not settled(at.net, at.step):
            return y
        source, target = at.net.grid(self.input), at.net.grid(self.output)
        integers = graph_softmax.shares(
            steps_of(x[0], before, source, at.level),
            graph_softmax.make_table(source.scale[0]),
            graph_softmax.gains(target.scale)[at.level],
        )
        return as_computed(y, integers, after, target, at.level)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return True."""
        return True

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a softmax."""
        x, y = graph.values[self.input], graph.observed(self)
        table, gain = graph_softmax.make_table(x.scale[0]), graph_softmax.gains(y.scale)
        graph.ops.append(graph_softmax.Softmax(self.name, x.name, y.name, table, gain))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of its table and gains."""
        return _TABLE_BYTES + _GAIN_BYTES * levels


def inner_softmax(tensor: Tensor, name: str, output: str) -> InnerSoftmax:
    """Return the softmax over the channels of ``tensor``.

    Raises:
        Unsupported: too many of them.
    """
    count = tensor.shape[2]
    if count > graph_softmax.MAX_INNER_CHANNELS:
        raise Unsupported(
            "softmax over too many elements inside a network",
            count,
            f"at most {graph_softmax.MAX_INNER_CHANNELS}",
            "Use fewer tokens: larger patches, or windows of them",
        )
    return InnerSoftmax(name, tensor.name, output)


def _softmax(walk: Walk, node: fx.Node) -> None:
    source, log = node.args[0], "log_softmax" in str(node.target)
    axis = axis_of(source, argument(node, 1, "dim", -1))
    if axis == 0 and _is_last(node):
        tensor = walk.activation(node)
        if tensor.shape[2] == 1:
            raise Unsupported(
                "softmax over a single output, which is constant",
                "1 output",
                "at least 2",
                "Remove the softmax, or give the last layer one output for each class",
            )
        walk.emit(node, tensor, lambda name, output: Softmax(name, tensor.name, output, log))
        return
    if log:
        raise Unsupported(
            "log_softmax inside a network, or over another dimension than channels",
            f"dimension {axis + 1}",
            "log_softmax at the end with dim=1, or softmax",
            "Leave it to the application",
        )
    tensor = walk.activation(node, channel_axis=axis)
    walk.emit(node, tensor, lambda name, output: inner_softmax(tensor, name, output))


def _is_last(node: fx.Node) -> bool:
    """Return whether nothing is computed of what ``node`` makes."""
    return all(
        user.op == "output"
        or (str(user.target).removeprefix("aten.").partition(".")[0] in _PASSES and _is_last(user))
        for user in node.users
    )


ATEN = dict.fromkeys(("softmax", "log_softmax"), Aten(_softmax))
