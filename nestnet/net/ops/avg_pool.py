"""Average pooling, also adaptive, and the mean over height and width."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import avg_pool as graph_avg_pool
from nestnet.net.ops.common.pools import Pool, Window, adaptive, reduction, sliding
from nestnet.net.stages import Around, GridRule, Run, Sides, Stage, joined
from nestnet.net.tensors import Tensor
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "average pool, mean over dimensions"


@dataclass(frozen=True)
class AvgPool(Pool):
    """Mean over a window; padding counts as zero, as far as it is counted."""

    counted: Sides
    """Of the padding."""

    makes = (graph_avg_pool.AvgPool,)
    grid = GridRule.ROUNDED
    elementwise = False

    @property
    def counts(self) -> tuple[Sides, ...]:
        """Return the padding that is counted."""
        return (self.counted,)

    def with_padding(self, around: Around) -> Stage | None:
        """Return the mean that counts the zeros around its input."""
        window = self.window.padded(around) if around.is_zero else None
        if window is None:
            return None
        counted = joined(around.sides, self.counted)
        return replace(self, input=around.source, window=window, counted=counted)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Take the mean, of a map or of positions in a row."""
        y, window, target = self.seen(x[0], at), self.window, at.tensor(self.output)
        if window.is_adaptive:
            mean = F.adaptive_avg_pool2d(y, target.shape[:2])
        else:
            mean = _slid(y, window)
            if self.counted != window.padding:
                top, left, bottom, right = self.counted
                ones = F.pad(y.new_ones(1, 1, *y.shape[2:]), (left, right, top, bottom), value=1.0)
                sides = zip(window.padding, self.counted, strict=True)
                top, left, bottom, right = (all_of - part for all_of, part in sides)
                share = _slid(
                    ones, Window(window.kernel, window.stride, (top, left, bottom, right))
                )
                mean = mean / share
        return self.made(mean, at)


def _slid(x: torch.Tensor, window: Window) -> torch.Tensor:
    """Return the mean over whole windows."""
    top, left, bottom, right = window.padding
    if any(window.padding):
        x = F.pad(x, (left, right, top, bottom))
    return F.avg_pool2d(x, window.kernel, window.stride)


def _avg_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    window, asked = sliding(tensor, node, bool(argument(node, 4, "ceil_mode", False)))
    divisor = argument(node, 6, "divisor_override", None)
    if divisor is not None and divisor != math.prod(window.kernel):
        raise Unsupported("average pool with its own divisor", divisor, "divisor_override=None")
    counted = asked if argument(node, 5, "count_include_pad", True) else (0, 0, 0, 0)
    if divisor is not None:
        counted = window.padding
    _emit(walk, node, tensor, window, counted)


def _emit(
    walk: Walk,
    node: fx.Node,
    tensor: Tensor,
    window: Window,
    counted: Sides = (0, 0, 0, 0),
    channel_axis: int = 0,
) -> None:
    if math.prod(window.kernel) > graph_avg_pool.MAX_WINDOW:
        raise Unsupported(
            "average over too many elements",
            window.kernel,
            f"a window of at most {graph_avg_pool.MAX_WINDOW} elements",
            "Pool in two steps",
        )
    walk.emit(
        node,
        tensor,
        lambda name, output: AvgPool(name, tensor.name, output, window, counted),
        channel_axis=channel_axis,
    )


def _adaptive_avg_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    _emit(walk, node, tensor, adaptive(tensor, node))


def _mean(walk: Walk, node: fx.Node) -> None:
    """Read a mean over dimensions."""
    tensor = walk.activation(node, channel_axis=None)
    dims = argument(node, 1, "dim", None) or ()
    window, channel_axis = reduction(tensor, dims, argument(node, 2, "keepdim", False))
    _emit(walk, node, tensor, window, channel_axis=channel_axis)


ATEN = {
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), Aten(_avg_pool)),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), Aten(_adaptive_avg_pool)),
    "mean": Aten(_mean),
}
