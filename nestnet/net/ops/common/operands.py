"""Two activations as operands of one operator, the smaller repeated over the larger."""

from __future__ import annotations

from torch import fx

from codegen.graph.ir import broadcasts
from nestnet.net.tensors import Tensor
from nestnet.net.walk import Unsupported, Walk, shape_of


def two_activations(walk: Walk, node: fx.Node, verb: str) -> tuple[Tensor, Tensor, bool] | None:
    """Return the operand of the result's shape, the other one, and whether that stands first.

    None if one of them is no activation.

    Args:
        walk: the walk.
        node: an operator with two operands.
        verb: what it makes of them, for messages: "sum".

    Raises:
        Unsupported: shapes that only fit by repeating both.
    """
    shape = shape_of(node)
    operands = [argument for argument in node.args[:2] if walk.is_activation(argument)]
    if len(operands) < 2:
        return None
    larger = operands[walk.seen(operands[0])[1].sizes != shape]
    axis = walk.activation(node, node.args.index(larger), channel_axis=None).channel_axis
    left, right = (walk.activation(node, place, axis) for place in (0, 1))
    if left.flat_from != right.flat_from:
        left, right = (walk.activation(node, place, plain=True) for place in (0, 1))
    for whole, part, swapped in ((left, right, False), (right, left, True)):
        one_rank = len(whole.torch_shape) == len(part.torch_shape)
        if whole.torch_shape == shape and one_rank and broadcasts(part.shape, whole.shape):
            return whole, part, swapped
    raise Unsupported(
        f"{verb} of which both operands are repeated",
        f"{left.torch_shape} and {right.torch_shape}",
        "one operand of the result's shape, the other with 1 in place of extents",
        "Make the shapes equal",
    )
