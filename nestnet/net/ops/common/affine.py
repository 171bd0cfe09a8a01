"""Read arithmetic of an activation and numbers or parameters of its channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.tensors import Arithmetic, NormParams, Tensor, best_axis, is_all
from nestnet.net.walk import Unsupported, Walk, sizes_of

_SHAPES = ("view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten", "detach", "alias",
           "clone", "contiguous", "to", "to_copy", "lift_fresh_copy")  # fmt: skip
"""What leaves the elements of a parameter in their order."""


By = str | tuple[float, ...]
"""The name of a parameter or buffer, or the numbers of a constant."""


def with_parameter(walk: Walk, node: fx.Node, place: int) -> tuple[Tensor, By] | None:
    """Return the activation that is operand ``place`` of ``node``, and the parameter, one number or
    one for each channel, that is the other one of its first two; None if that differs between
    positions, or between those of what lies otherwise, or is computed.
    """
    argument = node.args[1 - place]
    rank = len(node.meta["val"].shape)
    varying = [axis for axis, extent in enumerate(extents(argument, rank)) if extent != 1]
    ends = {(): None, (1,): 0, (rank - 1,): -1}
    if tuple(varying) not in ends or _moves(walk, node.args[place], ends[tuple(varying)]):
        return None
    by = _by(walk, argument)
    if by is None:
        return None
    tensor = walk.activation(node, place, channel_axis=ends[tuple(varying)])
    return (tensor, by) if sizes_of(node) == tensor.torch_shape else None


def _moves(walk: Walk, argument: object, axis: int | None) -> bool:
    """Return whether an activation that lies as it is would be moved to have ``axis`` as its
    channels."""
    if axis is None or not walk.is_activation(argument):
        return False
    tensor, view = walk.seen(argument)
    own = view.loops(best_axis(view, tensor)), view.loops(axis % len(view.dims))
    return [is_all(view, loops, tensor) for loops in own] == [True, False]


def extents(argument: object, rank: int) -> tuple[object, ...]:
    """Return the sizes of a parameter, before it is expanded, among ``rank`` dimensions."""
    source = unexpanded(argument)
    shape = tuple(source.meta["val"].shape) if isinstance(source, fx.Node) else ()
    return (1,) * (rank - len(shape)) + shape


def unexpanded(argument: object) -> object:
    """Return what ``argument`` is before it is expanded."""
    while isinstance(argument, fx.Node) and _name(argument) == "expand":
        argument = argument.args[0]
    return argument


def of_channels(walk: Walk, tensor: Tensor, argument: object) -> By:
    """Return the vector with a number for each channel of ``tensor``, or one for all, that the
    argument of a layer is.

    Raises:
        Unsupported: it is computed, or something else than a vector.
    """
    part, by = unexpanded(argument), _by(walk, argument)
    if by is None or not isinstance(part, fx.Node):
        raise Unsupported(
            "arithmetic with what is computed, not a parameter",
            argument,
            "an activation, a number, or a parameter or buffer of the module",
            "Compute it before tracing and store it as a parameter or buffer",
        )
    shape = tuple(int(extent) for extent in part.meta["val"].shape)
    if shape not in ((1,), (tensor.shape[2],)):
        raise Unsupported("weights of other dimensions than channels", shape, (tensor.shape[2],))  # type: ignore[arg-type]
    return by


def _by(walk: Walk, argument: object) -> By | None:
    """Return the name or the numbers of a parameter or constant, reshaped and expanded or not; None
    for what is computed."""
    source = unexpanded(argument)
    while isinstance(source, fx.Node) and source.op == "call_function" and _name(source) in _SHAPES:
        source = unexpanded(source.args[0])
    if not isinstance(source, fx.Node) or source.name not in walk.targets:
        return None
    return named(walk, source)


def named(walk: Walk, source: fx.Node) -> By:
    """Return the name of the parameter or buffer ``source``, or the numbers of a constant."""
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
        channel_axis=tensor.channel_axis,
    )


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0].strip("_")
