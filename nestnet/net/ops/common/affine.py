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


def per_channel(
    walk: Walk, tensor: Tensor, argument: object, channels_last: bool = False
) -> str | tuple[float, ...]:
    """Return the parameter, buffer or constant that ``argument`` is: its name or its numbers.

    It has the dimensions of an operand, or, where ``channels_last`` says so and it has one, the
    channels in it.

    Raises:
        Unsupported: it is none, is computed, or differs between positions.
    """
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
    shape = tuple(int(extent) for extent in node.meta["val"].shape)
    rank = len(tensor.torch_shape) + 1
    if channels_last and len(shape) == 1:
        shape = (*shape, *(1,) * (rank - 2))
    aligned = (1,) * (rank - len(shape)) + shape
    rest = (*aligned[:1], *aligned[2:])
    if len(shape) > rank or set(rest) > {1} or aligned[1] not in (1, tensor.torch_shape[0]):
        raise Unsupported(
            "arithmetic with a parameter that differs between positions",
            shape,
            f"one number, or one for each channel: {(tensor.torch_shape[0], *(1,) * (rank - 2))}",
            "Give each channel a number of its own",
        )
    return walk.constants.get(source.name, walk.targets[source.name])


def emit_affine(walk: Walk, node: fx.Node, tensor: Tensor, steps: Sequence[Arithmetic]) -> None:
    """Append ``steps`` on ``tensor`` as what ``node`` computes."""
    walk.emit(
        node,
        tensor,
        lambda name, output: Conv2D.unit(
            name, tensor.name, output, tensor.shape[2], NormParams.affine(name, tuple(steps))
        ),
        flat_from=tensor.flat_from,
    )


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0].strip("_")
