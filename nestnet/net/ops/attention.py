"""Scaled dot-product attention, as the products and the softmax that it consists of."""

from __future__ import annotations

import torch
from torch import fx

from nestnet.net.ops.add import AddConstant
from nestnet.net.ops.common.constants import spread_over
from nestnet.net.ops.matmul import Matmul, laid, operand, turned
from nestnet.net.ops.softmax import inner_softmax
from nestnet.net.tensors import Tensor, View
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "scaled_dot_product_attention"


def _attention(walk: Walk, node: fx.Node) -> None:
    """Read ``softmax(scale * q @ k.T + mask) @ v``."""
    q, k, v = (operand(walk, each) for each in node.args[:3])
    mask = argument(node, 3, "attn_mask", None)
    for place, name, usual in (
        (4, "dropout_p", 0.0),
        (5, "is_causal", False),
        (7, "enable_gqa", False),
    ):
        if argument(node, place, name, usual) != usual:
            raise Unsupported(
                f"attention with {name}", argument(node, place, name, usual), f"{name}={usual}",
                "Leave it out; a causal mask has no int8 equivalent",
            )  # fmt: skip
    scale = argument(node, 6, "scale", None)
    if scale is not None and not isinstance(scale, int | float):
        raise Unsupported("attention whose scale is computed", scale, "a number as scale")
    factor = float(q[1].sizes[-1] ** -0.5 if scale is None else scale)
    one, other, axis = laid(walk, q, turned(k), rows=True)
    tokens = (*q[1].sizes[:-1], k[1].sizes[-2])
    shape = Tensor("", tokens, None, axis)
    scores = walk.within(
        node, shape, lambda name, out: Matmul(name, (one.name, other.name), out, factor)
    )
    if mask is not None:
        if isinstance(mask, fx.Node) and mask.meta["val"].dtype == torch.bool:
            raise Unsupported("attention with a mask of truth values", mask, "numbers to add")
        spread = spread_over(walk, node, mask)
        source = scores
        scores = walk.within(
            node, shape, lambda name, out: AddConstant(name, source.name, out, (spread,))
        )
    shares = walk.within(node, shape, lambda name, out: inner_softmax(scores, name, out))
    _, values, axis = laid(walk, (shares, View.whole(shares)), v)
    walk.emit(
        node,
        values,
        lambda name, output: Matmul(name, (shares.name, values.name), output),
        channel_axis=axis,
        any_rank=True,
    )


ATEN = {"scaled_dot_product_attention": Aten(_attention)}
