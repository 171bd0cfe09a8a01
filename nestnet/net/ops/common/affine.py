"""Read arithmetic of an activation and numbers or parameters of its channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.tensors import Arithmetic, NormParams, Tensor
from nestnet.net.walk import Unsupported, Walk

_SHAPES = ("view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten", "detach", "alias",
           "clone", "contiguous", "to", "to_copy", "lift_fresh_copy")  # fmt: skip
"""What leaves the elements of a parameter in their order."""


By = str | tuple[float, ...]
"""The name of a parameter or buffer, or the numbers of a constant."""


def with_parameter(walk: Walk, node: fx.Node, place: int) -> tuple[Tensor, By]:
    """Return the activation that is operand ``place`` of ``node``, and the parameter, one number or
    one for each channel, that is the other one of its first two.

    Raises:
        Unsupported: the other one is computed, or differs between positions.
    """
    argument = node.args[1 - place]
    part, by = _parameter(walk, argument)
    shape = tuple(int(extent) for extent in part.meta["val"].shape)
    rank = len(node.meta["val"].shape)
    aligned = (1,) * (rank - len(shape)) + shape
    varying = [axis for axis, extent in enumerate(aligned) if extent > 1]
    ends = {(): None, (1,): 0, (rank - 1,): -1}
    axis = ends.get(tuple(varying), rank)
    tensor = walk.activation(node, place, channel_axis=None if axis == rank else axis)
    if axis == rank or tuple(node.meta["val"].shape[1:]) != tensor.torch_shape:
        raise Unsupported(
            "arithmetic with a parameter that differs between positions",
            shape,
            f"one number, or one for each channel: {(tensor.shape[2], *(1,) * (rank - 2))}",
            "Give each channel a number of its own",
        )
    return tensor, by


def of_channels(walk: Walk, tensor: Tensor, argument: object) -> By:
    """Return the vector with a number for each channel of ``tensor``, or one for all, that the
    argument of a layer is.

    Raises:
        Unsupported: it is computed, or something else than a vector.
    """
    part, by = _parameter(walk, argument)
    shape = tuple(int(extent) for extent in part.meta["val"].shape)
    if shape not in ((1,), (tensor.shape[2],)):
        raise Unsupported("weights of other dimensions than channels", shape, (tensor.shape[2],))  # type: ignore[arg-type]
    return by


def _parameter(walk: Walk, argument: object) -> tuple[fx.Node, By]:
    """Return the node of a parameter or constant, in the shape in which it is repeated, and it."""
    node, source = argument, argument
    while isinstance(source, fx.Node) and _name(source) == "expand":
        node = source = source.args[0]
    while isinstance(source, fx.Node) and source.op == "call_function" and _name(source) in _SHAPES:
        source = source.args[0]
    if not isinstance(source, fx.Node) or source.name not in walk.targets:
        raise Unsupported(
            "arithmetic with what is computed, not a parameter",
            argument,
            "an activation, a number, or a parameter or buffer of the module",
            "Compute it before tracing and store it as a parameter or buffer",
        )
    assert isinstance(node, fx.Node)
    return node, walk.constants.get(source.name, walk.targets[source.name])


def emit_affine(walk: Walk, node: fx.Node, tensor: Tensor, steps: Sequence[Arithmetic]) -> None:
    """Append ``steps`` on ``tensor`` as what ``node`` computes."""
    walk.emit(
        node,
        tensor,
        lambda name, output: Conv2D.unit(
            name, tensor.name, output, tensor.shape[2], NormParams.affine(name, tuple(steps))
        ),
        flat_from=tensor.flat_from,
        channel_axis=tensor.channel_axis,
    )


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0].strip("_")
