"""Padding that is no part of a layer: a part of the layers that read it where that is the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import pad as graph_pad
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import Around, GridRule, Network, OneInput, Run, Stage, Step
from nestnet.net.tensors import Shape
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "zero padding"


@dataclass(frozen=True)
class Pad(OneInput):
    """Zeros, or what loses against any number, before and after the entries of dimensions."""

    before: Shape
    """Of h, w, c."""
    after: Shape
    value: float = 0.0
    """0, or the least number there is for max pools alone."""

    makes = (graph_pad.Pad,)
    grid = GridRule.INPUT
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Pad."""
        tensor = at.tensor(self.output)
        axes = [tensor.axis(dim) for dim in reversed(range(len(tensor.torch_shape)))]
        pairs = [(0, 0) if axis is None else (self.before[axis], self.after[axis]) for axis in axes]
        return F.pad(x[0], [side for pair in pairs for side in pair], value=self.value)

    def with_padding(self, around: Around) -> Stage | None:
        """Return both paddings as one."""
        if not around.is_zero or self.value != 0:
            return None
        top, left, bottom, right = around.sides
        before = (self.before[0] + top, self.before[1] + left, self.before[2])
        after = (self.after[0] + bottom, self.after[1] + right, self.after[2])
        return replace(self, input=around.source, before=before, after=after)

    def around(self, non_negative: bool) -> Around | None:
        """Return what lies around the map, unless there are channels more."""
        top, left, front = self.before
        bottom, right, back = self.after
        if front or back:
            return None
        sides = (top, left, bottom, right)
        return Around(self.input, sides, self.value == 0, self.value < 0 or non_negative)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a padding."""
        assert self.value == 0, "what max pools alone read is a part of them"
        x, y = graph.values[self.input], graph.like_input(self)
        graph.ops.append(graph_pad.Pad(self.name, x.name, y.name, self.before, self.after))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: bytes are moved."""
        return 0


def _pad(walk: Walk, node: fx.Node) -> None:
    mode, sides = argument(node, 2, "mode", "constant"), argument(node, 1, "pad", ())
    value = argument(node, 2 if "constant_pad" in str(node.target) else 3, "value", 0)
    if isinstance(mode, str) and mode != "constant":
        raise Unsupported(
            f"{mode} padding", mode, "zeros", "Pad with zeros; before training that is no loss"
        )
    _, view = walk.seen(node.args[0])
    rank = len(view.dims)
    if len(sides) > 2 * rank or not all(isinstance(side, int) for side in sides):
        raise Unsupported("padding of the batch, or by computed sizes", sides, "numbers")
    pairs = [(0, 0)] * (rank - len(sides) // 2) + list(zip(sides[-2::-2], sides[::-2], strict=True))
    for axis, (first, last) in enumerate(pairs):
        start, end = max(0, -first), view.sizes[axis] - max(0, -last)
        cut = view.sliced(axis, start, end - start)
        if cut is None:
            raise Unsupported("a crop across dimensions that were merged", sides, "a plain map")
        view = cut
    pairs = [(max(0, first), max(0, last)) for first, last in pairs]
    if not any(sum(pair) for pair in pairs):
        walk.see(node, node.args[0], view, is_copy=True)
        return
    tensor = walk.lay(node.args[0], view)
    by_axis = {tensor.axis(dim): pair for dim, pair in enumerate(pairs) if sum(pair)}
    if None in by_axis:
        raise Unsupported("padding of more than maps", view.sizes, "batch x c x h x w")
    before, after = (tuple(by_axis.get(axis, (0, 0))[end] for axis in range(3)) for end in (0, 1))
    walk.emit(
        node,
        tensor,
        lambda name, output: Pad(
            name,
            tensor.name,
            output,
            before,
            after,
            _checked(node, value, pairs),
        ),
        channel_axis=tensor.channel_axis,
    )


def _checked(node: fx.Node, value: object, pairs: list[tuple[int, int]]) -> float:
    """Return what is padded with: 0, or what loses in each of the max pools that read it."""
    if not value:
        return 0.0
    if value == -math.inf and all(_takes(user, pairs) for user in node.users):
        return -math.inf
    raise Unsupported(
        "padding by another number than 0", value, "zeros, or -inf in front of a larger max pool"
    )


def _takes(user: fx.Node, pairs: list[tuple[int, int]]) -> bool:
    """Return whether ``user`` is a max pool whose window always reaches beyond the padding."""
    if not str(user.target).startswith("aten.max_pool"):
        return False
    kernel, inner = user.args[1], pairs[1:]
    sizes = [kernel] * len(inner) if isinstance(kernel, int) else list(kernel)  # type: ignore[arg-type]
    sizes = sizes * len(inner) if len(sizes) == 1 else sizes
    own = argument(user, 3, "padding", 0)
    more = [own] * len(inner) if isinstance(own, int) else list(own) * (len(inner) // len(own))
    return all(
        max(pair) + extra < size for pair, extra, size in zip(inner, more, sizes, strict=True)
    )


ATEN = dict.fromkeys(("pad", "constant_pad_nd"), Aten(_pad))
