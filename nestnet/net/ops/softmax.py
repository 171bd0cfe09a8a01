"""Softmax over channels, or its logarithm, at the end of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from codegen.errors import UserError
from codegen.graph.ops import softmax as graph_softmax
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import Bound, GridRule, Network, OneInput, Run, Step
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "softmax or log_softmax at the end"

_TABLE_BYTES = 512
"""256 exponentials of 16 bits."""


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
    def bound(self) -> Bound:
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
        table = np.rint(2.0**15 * np.exp(-x.scale[0] * np.arange(256))).astype(np.uint16)
        scale = (graph_softmax.OUT_SCALE,) * graph.net.n_levels
        y = graph.add_value(self.output, self.name, scale, graph_softmax.OUT_ZERO_POINT)
        graph.ops.append(graph_softmax.Softmax(self.name, x.name, y.name, table))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of its table."""
        return 0 if self.log else _TABLE_BYTES


def _softmax(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    rank = len(tensor.torch_shape) + 1
    dim = argument(node, 1, "dim", -1)
    if not isinstance(dim, int) or dim % rank != 1:
        raise Unsupported("softmax over another dimension than channels", dim, "dim=1")
    if tensor.shape[2] == 1:
        raise Unsupported(
            "softmax over a single output, which is constant",
            "1 output",
            "at least 2",
            "Remove the softmax, or give the last layer one output for each class",
        )
    log = "log_softmax" in str(node.target)
    walk.emit(node, tensor, lambda name, output: Softmax(name, tensor.name, output, log))


ATEN = dict.fromkeys(("softmax", "log_softmax"), Aten(_softmax))
