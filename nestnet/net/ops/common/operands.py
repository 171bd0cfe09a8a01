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
        Unsupported: shapes that only fit by repeating both, or elements in different orders.
    """
    left, right = walk.read(node.args[0]), walk.read(node.args[1])
    if left is None or right is None:
        return None
    if left.torch_shape == right.torch_shape and left.flat_from != right.flat_from:
        raise Unsupported(
            f"{verb} of a flattened map and a vector: their elements lie in different orders",
            f"{_origin(left)} + {_origin(right)}",
            "two vectors, or two maps flattened alike",
            "Combine before the map is flattened, or let a linear layer follow it first",
        )
    shape = shape_of(node)
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


def _origin(tensor: Tensor) -> str:
    if tensor.flat_from is None:
        return f"a vector of {tensor.torch_shape[0]}"
    h, w, c = tensor.flat_from
    return f"a flattened map of {c} x {h} x {w}"
