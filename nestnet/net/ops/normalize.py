"""Normalization by statistics of the image itself: group, instance and layer norm, L2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import fx

from codegen.graph import ir
from codegen.graph.ops import normalize as graph_normalize
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.affine import emit_affine, of_channels
from nestnet.net.ops.common.weighted import settled
from nestnet.net.stages import GridRule, Network, OneInput, Run, Step
from nestnet.net.tensors import Arithmetic, Tensor
from nestnet.net.walk import Aten, Unsupported, Walk, argument, axis_of

SPELLED = "group_norm/instance_norm, layer_norm/rms_norm of channels, F.normalize"

_BYTES_PER_LEVEL = 16
"""Mantissa and exponent of the gain, mantissa and shift of the epsilon."""


@dataclass(frozen=True)
class Normalize(OneInput):
    """Divide sets of elements by the root of their squares' sum or mean, less the mean or not."""

    channels: int
    """Of a set."""
    all_positions: bool
    """Whether a set has all positions, or one."""
    center: bool
    """Whether the mean is taken off."""
    mean: bool
    """Whether it is the mean of the squares whose root is taken, or their sum."""
    epsilon: float
    """What is added to the mean of the squares, or the least root of their sum."""

    makes = (graph_normalize.Normalize,)
    grid = GridRule.OWN
    elementwise = True

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Normalize; with the integer operator's bits once the ranges are settled.

        Gradients are those of the real normalization.
        """
        axis = 1 + at.tensor(self.input).channel_axis
        return self._run(x[0].movedim(axis, 1), at).movedim(1, axis)

    def _run(self, x: torch.Tensor, at: Run) -> torch.Tensor:
        """Normalize (n, c, ...)."""
        y = self._normalized(x)
        if not settled(at.net, at.step):
            return y
        a, b = at.net.grid(self.input), at.net.grid(self.output)
        h, w, _ = at.tensor(self.input).shape
        steps = (x.detach().double() / a.scale[at.level]).round() + a.zero_point
        rows = steps.cpu().reshape(len(steps), -1, h, w).permute(0, 2, 3, 1)
        sizes = (h * w if self.all_positions else 1), self.channels
        integers = graph_normalize.normalized(
            rows.clamp(-128, 127).to(torch.int8).numpy(),
            sizes,
            self.center,
            self._table(a.scale, b.scale, prod(sizes))[at.level],
            (a.zero_point, b.zero_point),
        )
        real = (torch.from_numpy(integers).float() - b.zero_point) * torch.tensor(b.scale[at.level])
        found = real.permute(0, 3, 1, 2).reshape(y.shape).to(y)
        return y + (found - y).detach() if y.requires_grad else found

    def _normalized(self, x: torch.Tensor) -> torch.Tensor:
        """Return the real normalization of (n, c, ...)."""
        sets = x.reshape(len(x), x.shape[1] // self.channels, self.channels, -1)
        dims = (2, 3) if self.all_positions else (2,)
        if self.center:
            sets = sets - sets.mean(dims, keepdim=True)
        squares = sets * sets
        if self.mean:
            sets = sets * (squares.mean(dims, keepdim=True) + self.epsilon).rsqrt()
        else:
            sets = sets / squares.sum(dims, keepdim=True).sqrt().clamp_min(self.epsilon)
        return sets.reshape(x.shape)

    def _table(
        self, before: Sequence[float], after: Sequence[float], elements: int
    ) -> ir.Int32Array:
        """Return the integer table (levels, 4) for sets of so many elements."""
        if not self.mean:
            return graph_normalize.make_table(before, after, elements, 1.0, 0.0)
        factor = 1.0 if self.center else elements**0.5
        epsilon = self.epsilon * elements ** (2 if self.center else 1)
        return graph_normalize.make_table(before, after, elements, factor, epsilon)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether the input is and no mean is taken off."""
        return all(inputs) and not self.center

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a normalization."""
        x, y = graph.values[self.input], graph.observed(self)
        h, w, _ = x.shape
        sizes = (h * w if self.all_positions else 1), self.channels
        table = self._table(x.scale, y.scale, prod(sizes))
        graph.ops.append(
            graph_normalize.Normalize(self.name, x.name, y.name, *sizes, self.center, table)
        )

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of its table."""
        return _BYTES_PER_LEVEL * levels


def emit_normalize(
    walk: Walk,
    node: fx.Node,
    tensor: Tensor,
    channels: int,
    all_positions: bool,
    epsilon: float,
    affine: tuple[object, object] = (None, None),
    center: bool = True,
    mean: bool = True,
) -> None:
    """Append a normalization of ``tensor``, and weight and bias, as what ``node`` computes.

    Raises:
        Unsupported: a flattened map, a set with too many elements, or weights that are computed.
    """
    if tensor.flat_from is not None:
        raise Unsupported(
            "normalization of a flattened map",
            tensor.flat_from,
            "a map, or a vector that never was one",
            "Normalize the map with nn.GroupNorm(1, channels) and flatten then",
        )
    elements = channels * (prod(tensor.shape[:2]) if all_positions else 1)
    if elements > graph_normalize.MAX_SET:
        raise Unsupported(
            "normalization of too many elements at once",
            elements,
            f"at most {graph_normalize.MAX_SET}",
            "Use more groups",
        )

    def make(name: str, output: str) -> Normalize:
        sizes = channels, all_positions
        return Normalize(name, tensor.name, output, *sizes, center, mean, epsilon)

    steps = [
        Arithmetic(kind, of_channels(walk, tensor, value))  # type: ignore[arg-type]
        for kind, value in zip(("mul", "add"), affine, strict=True)
        if value is not None
    ]
    if steps:
        emit_affine(walk, node, walk.within(node, tensor, make), steps)
    else:
        walk.emit(node, tensor, make)


def _group_norm(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    affine = argument(node, 2, "weight", None), argument(node, 3, "bias", None)
    channels = tensor.shape[2] // int(argument(node, 1, "num_groups", 1))
    emit_normalize(walk, node, tensor, channels, True, _epsilon(node, 4), affine)


def _instance_norm(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    if argument(node, 3, "running_mean", None) is not None:
        raise Unsupported(
            "instance norm with running statistics",
            "track_running_stats=True",
            "track_running_stats=False",
            "Use nn.BatchNorm2d for statistics of the training set",
        )
    affine = argument(node, 1, "weight", None), argument(node, 2, "bias", None)
    emit_normalize(walk, node, tensor, 1, True, _epsilon(node, 7), affine)


def _layer_norm(walk: Walk, node: fx.Node) -> None:
    is_rms = "rms_norm" in str(node.target)
    shape = tuple(argument(node, 1, "normalized_shape", ()))
    bias = None if is_rms else argument(node, 3, "bias", None)
    affine = argument(node, 2, "weight", None), bias
    epsilon = _epsilon(node, 3 if is_rms else 4)
    if len(shape) == 1:
        tensor = walk.activation(node, channel_axis=-1)
        emit_normalize(walk, node, tensor, tensor.shape[2], False, epsilon, affine, not is_rms)
        return
    tensor = walk.activation(node, channel_axis=None)
    if shape != tensor.torch_shape or affine != (None, None):
        raise Unsupported(
            "layer norm over positions",
            f"{shape} of {tensor.torch_shape}",
            "channels alone, or all of a map without weights of its own",
            "Use nn.GroupNorm(1, channels)",
        )
    emit_normalize(walk, node, tensor, tensor.shape[2], True, epsilon, center=not is_rms)


def _vector_norm(walk: Walk, node: fx.Node) -> None:
    """Read the norm of ``x / norm(x)``, which the division computes, and all that lies between."""
    order, dims = argument(node, 1, "ord", 2), argument(node, 2, "dim", None)
    if order != 2 or dims is None or len(dims) != 1:
        raise Unsupported("a norm", f"order {order} over {dims}", "order 2 over one dimension")
    axis = axis_of(node.args[0], dims[0])
    least, steps, last = 0.0, [node], node
    while len(last.users) == 1 and _name(last) != "div":
        (last,) = last.users
        if _name(last) in ("clamp_min", "clamp"):
            least = float(argument(last, 1, "min", 0.0))
        elif _name(last) not in ("expand", "expand_as", "div"):
            break
        steps.append(last)
    if _name(last) != "div" or last.args[0] is not node.args[0]:
        raise Unsupported(
            "a norm that is not the divisor of its vector",
            node.target,
            "x / x.norm(dim=1, keepdim=True), or F.normalize",
            "Divide by it, or leave it to the application",
        )
    walk.absorbed |= dict.fromkeys(steps[:-1], (axis, least))


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _epsilon(node: fx.Node, index: int) -> float:
    found = argument(node, index, "eps", None)
    if found is None:
        return torch.finfo(torch.float32).eps if "rms" in str(node.target) else 1e-5
    return float(found)


ATEN = {
    "group_norm": Aten(_group_norm),
    "instance_norm": Aten(_instance_norm),
    "layer_norm": Aten(_layer_norm),
    "rms_norm": Aten(_layer_norm),
    "linalg_vector_norm": Aten(_vector_norm),
}
