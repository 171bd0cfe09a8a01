"""Translate single ATen operators into stages: the table a new operator is added to.

A handler gets the :class:`Walk` and a node whose first arguments are activations, appends stages
and binds the node to its tensor. :class:`Unsupported` becomes a UserError with the source line.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from nestnet.frontend.stages import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Conv,
    Dropout,
    Linear,
    MaxPool,
    Norm,
    NormParams,
    Reshape,
    Shape,
    Softmax,
    Tensor,
)
from nestnet.frontend.walk import Unsupported, Walk, one_order, shape_of

MAX_AVERAGE_WINDOW = 4096
"""Most elements of an average pool's window (docs/integer-contract.md)."""


def _argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    if len(node.args) > index:
        return node.args[index]
    return node.kwargs.get(name, default)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return (value, value)
    values = [int(item) for item in value]
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _module_name(parameter: str) -> str:
    """Return the layer's name for a weight: 'block.conv.weight' -> 'block.conv'."""
    return parameter.removesuffix(".weight")


def _map_input(walk: Walk, node: fx.Node) -> Tensor:
    tensor = walk.activation(node)
    if len(tensor.torch_shape) != 3:
        raise Unsupported(
            "input is not a map", tensor.torch_shape, "a batch x c x h x w tensor", "Reshape it"
        )
    return tensor


def _conv2d(walk: Walk, node: fx.Node) -> None:
    tensor = _map_input(walk, node)
    weight = walk.parameter(node.args[1], "weight")
    assert weight is not None
    bias = walk.parameter(_argument(node, 2, "bias", None), "bias")
    stride = _pair(_argument(node, 3, "stride", 1))
    padding = _argument(node, 4, "padding", 0)
    dilation = _pair(_argument(node, 5, "dilation", 1))
    groups = int(_argument(node, 6, "groups", 1))
    weight_node = node.args[1]
    assert isinstance(weight_node, fx.Node)
    kernel_h, kernel_w = (int(extent) for extent in weight_node.meta["val"].shape[2:])
    if dilation != (1, 1):
        raise Unsupported("dilated convolution", dilation, "dilation 1", "Use a larger kernel")
    if padding == "same":
        top, left = (kernel_h - 1) // 2, (kernel_w - 1) // 2
        pads = (top, left, kernel_h - 1 - top, kernel_w - 1 - left)
    else:
        pad_h, pad_w = (0, 0) if padding == "valid" else _pair(padding)
        pads = (pad_h, pad_w, pad_h, pad_w)
    walk.emit(
        node,
        tensor,
        lambda name, output: Conv(
            name, tensor.name, output, weight, bias, (kernel_h, kernel_w), stride, pads, groups
        ),
        _module_name(weight),
    )


def _linear(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    weight = walk.parameter(node.args[1], "weight")
    bias = walk.parameter(_argument(node, 2, "bias", None), "bias")
    if len(tensor.torch_shape) != 1 or weight is None:
        raise Unsupported(
            "linear layer on something but a vector",
            tensor.torch_shape,
            "a batch x features tensor",
            "Flatten before the linear layer",
        )
    walk.emit(
        node,
        tensor,
        lambda name, output: Linear(name, tensor.name, output, weight, bias),
        _module_name(weight),
    )


def _batch_norm(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    weight = walk.parameter(node.args[1], "weight")
    bias = walk.parameter(node.args[2], "bias")
    mean = walk.parameter(node.args[3], "running_mean")
    var = walk.parameter(node.args[4], "running_var")
    momentum, eps = node.args[6], node.args[7]
    if mean is None or var is None:
        raise Unsupported(
            "batch norm without running statistics",
            "track_running_stats=False",
            "track_running_stats=True",
            "Turn the statistics on",
        )
    if walk.evaluation and node.args[5]:
        raise Unsupported(
            "batch norm that uses a batch's statistics in evaluation mode",
            "training=True",
            "running statistics in evaluation mode",
            "Pass training=self.training, or use nn.BatchNorm2d",
        )
    name = mean.removesuffix(".running_mean")
    params = NormParams(name, weight, bias, mean, var, float(eps), float(momentum))  # type: ignore[arg-type]
    walk.emit(node, tensor, lambda stage, output: Norm(stage, tensor.name, output, params), name)


def _clip(lo: float, hi: float) -> Callable[[Walk, fx.Node], None]:
    """Return a handler for an activation with constant limits."""

    def handler(walk: Walk, node: fx.Node) -> None:
        _emit_clip(walk, node, lo, hi)

    return handler


def _emit_clip(walk: Walk, node: fx.Node, lo: float, hi: float) -> None:
    tensor = walk.activation(node)
    if not lo < hi:
        raise Unsupported("activation with an empty range", (lo, hi), "lower < upper limit")
    walk.emit(
        node, tensor, lambda name, output: Activation(name, tensor.name, output, Clip(lo, hi))
    )


def _limits(walk: Walk, node: fx.Node) -> None:
    """Translate hardtanh and clamp, whose limits are arguments."""
    default = (-1.0, 1.0) if "hardtanh" in str(node.target) else (None, None)
    lo = _argument(node, 1, "min_val" if "hardtanh" in str(node.target) else "min", default[0])
    hi = _argument(node, 2, "max_val" if "hardtanh" in str(node.target) else "max", default[1])
    if "clamp_min" in str(node.target):
        hi = None
    if "clamp_max" in str(node.target):
        lo, hi = None, _argument(node, 1, "max", None)
    for limit in (lo, hi):
        if limit is not None and not isinstance(limit, int | float):
            raise Unsupported("limit is not a constant", limit, "numbers as limits")
    _emit_clip(
        walk,
        node,
        -math.inf if lo is None else float(lo),
        math.inf if hi is None else float(hi),
    )


def _add(walk: Walk, node: fx.Node) -> None:
    for mine, other in (node.args[:2], node.args[1::-1]):
        if isinstance(other, int | float) and other == 0:  # Python's sum() starts from 0
            walk.alias(node, mine)
            return
    left, right = walk.read(node.args[0]), walk.read(node.args[1])
    if left is None or right is None:
        raise Unsupported(
            "addition of a constant or parameter",
            node.args[1] if right is None else node.args[0],
            "the sum of two activations",
            "Put constants into the bias of a convolution or batch norm",
        )
    if left.torch_shape == right.torch_shape and left.flat_from != right.flat_from:
        raise Unsupported(
            "sum of a flattened map and a vector: their elements lie in different orders",
            f"{_origin(left)} + {_origin(right)}",
            "two vectors, or two maps flattened alike",
            "Add before the map is flattened, or let a linear layer follow it first",
        )
    if left.torch_shape != right.torch_shape:
        raise Unsupported(
            "addition with broadcasting",
            f"{left.torch_shape} + {right.torch_shape}",
            "two tensors of one shape",
            "Make the shapes equal",
        )
    if node.kwargs.get("alpha", 1) != 1:
        raise Unsupported("scaled addition", node.kwargs["alpha"], "alpha = 1")
    walk.emit(node, left, lambda name, output: Add(name, (left.name, right.name), output))


def _origin(tensor: Tensor) -> str:
    if tensor.flat_from is None:
        return f"a vector of {tensor.torch_shape[0]}"
    h, w, c = tensor.flat_from
    return f"a flattened map of {c} x {h} x {w}"


def _max_pool2d(walk: Walk, node: fx.Node) -> None:
    tensor = _map_input(walk, node)
    kernel = _pair(node.args[1])
    stride = _pair(_argument(node, 2, "stride", None) or kernel)
    padding = _pair(_argument(node, 3, "padding", 0))
    dilation = _pair(_argument(node, 4, "dilation", 1))
    if dilation != (1, 1):
        raise Unsupported("dilated pooling", dilation, "dilation 1")
    pads = _pool_pads(tensor, node, kernel, stride, padding)
    walk.emit(
        node, tensor, lambda name, output: MaxPool(name, tensor.name, output, kernel, stride, pads)
    )


def _pool_pads(
    tensor: Tensor,
    node: fx.Node,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right; ceil_mode enlarges bottom and right."""
    value = node.meta["val"]
    shape = (value[0] if isinstance(value, tuple | list) else value).shape
    out_h, out_w = int(shape[2]), int(shape[3])
    in_h, in_w, _ = tensor.shape
    need_h = (out_h - 1) * stride[0] + kernel[0] - in_h - padding[0]
    need_w = (out_w - 1) * stride[1] + kernel[1] - in_w - padding[1]
    ceil_mode = "max_pool" in str(node.target) and bool(_argument(node, 5, "ceil_mode", False))
    ceil_mode |= "avg_pool" in str(node.target) and bool(_argument(node, 4, "ceil_mode", False))
    if ceil_mode:
        return (padding[0], padding[1], max(need_h, padding[0]), max(need_w, padding[1]))
    return (padding[0], padding[1], padding[0], padding[1])


def _avg_pool2d(walk: Walk, node: fx.Node) -> None:
    tensor = _map_input(walk, node)
    kernel = _pair(node.args[1])
    stride = _pair(_argument(node, 2, "stride", None) or kernel)
    padding = _pair(_argument(node, 3, "padding", 0))
    pads = _pool_pads(tensor, node, kernel, stride, padding)
    if pads != (padding[0], padding[1], padding[0], padding[1]):
        raise Unsupported("average pool with partial windows", "ceil_mode=True", "ceil_mode=False")
    if padding != (0, 0) and not _argument(node, 5, "count_include_pad", True):
        raise Unsupported(
            "average pool that leaves out padding",
            "count_include_pad=False",
            "count_include_pad=True or no padding",
        )
    divisor = _argument(node, 6, "divisor_override", None)
    if divisor is not None and divisor != kernel[0] * kernel[1]:
        raise Unsupported("average pool with its own divisor", divisor, "divisor_override=None")
    _emit_average(walk, node, tensor, kernel, stride, pads)


def _emit_average(
    walk: Walk,
    node: fx.Node,
    tensor: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> None:
    if kernel[0] * kernel[1] > MAX_AVERAGE_WINDOW:
        raise Unsupported(
            "average over too many elements",
            kernel,
            f"a window of at most {MAX_AVERAGE_WINDOW} elements",
            "Pool in two steps",
        )
    walk.emit(
        node, tensor, lambda name, output: AvgPool(name, tensor.name, output, kernel, stride, pads)
    )


def _adaptive_kernel(tensor: Tensor, node: fx.Node) -> tuple[int, int]:
    in_h, in_w, _ = tensor.shape
    sizes = node.args[1]
    wanted = (sizes, sizes) if isinstance(sizes, int) else tuple(sizes)  # type: ignore[arg-type]
    out_h, out_w = wanted[0] or in_h, wanted[-1] or in_w
    if in_h % out_h or in_w % out_w:
        raise Unsupported(
            "adaptive pool to a size that does not divide the input",
            f"{in_h} x {in_w} -> {out_h} x {out_w}",
            "an output size that divides the input size",
            "Choose another output size or use a plain pool",
        )
    return in_h // out_h, in_w // out_w


def _adaptive_avg_pool2d(walk: Walk, node: fx.Node) -> None:
    tensor = _map_input(walk, node)
    kernel = _adaptive_kernel(tensor, node)
    _emit_average(walk, node, tensor, kernel, kernel, (0, 0, 0, 0))


def _adaptive_max_pool2d(walk: Walk, node: fx.Node) -> None:
    tensor = _map_input(walk, node)
    kernel = _adaptive_kernel(tensor, node)
    for user in node.users:  # (values, indices): only the values are an activation
        if user.target is operator.getitem and user.args[1] == 0:
            walk.emit(
                user,
                tensor,
                lambda name, output: MaxPool(
                    name, tensor.name, output, kernel, kernel, (0, 0, 0, 0)
                ),
            )
            walk.alias(node, user)


def _getitem(walk: Walk, node: fx.Node) -> None:
    if not walk.is_activation(node):
        raise Unsupported("indices of a max pool are used", node.name, "the values only")


def _mean(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    rank = len(tensor.torch_shape) + 1
    dims = _argument(node, 1, "dim", None)
    axes = sorted(int(dim) % rank for dim in dims) if dims else []
    keep = bool(_argument(node, 2, "keepdim", False))
    if axes != list(range(2, rank)) or rank < 3:
        raise Unsupported(
            "mean over other dimensions than height and width",
            f"dim={dims} of a rank {rank} tensor",
            "dim=(2, 3)",
        )
    h, w, _ = tensor.shape
    _emit_average(walk, node, tensor, (h, w), (h, w), (0, 0, 0, 0))
    del keep  # the result's rank is in the node's shape


def _reshape(walk: Walk, node: fx.Node) -> None:
    """Translate any change of shape that keeps channels apart or flattens a map to a vector."""
    source = walk.activation(node)
    old, new = source.torch_shape, shape_of(node)
    if old == new:
        walk.alias(node, node.args[0])
        return
    flat_from: Shape | None = None
    if len(old) > 1 and len(new) == 1:
        h, w, c = source.shape
        flat_from = (h, w, c) if h * w > 1 and c > 1 else None
    elif source.flat_from is not None or not (old[0] == new[0] or one_order(old, new)):
        h, w, c = source.flat_from or (0, 0, 0)
        if new not in ((c, h, w), (c, h * w)):
            raise Unsupported(
                "reshape that mixes channels and positions",
                f"{old} -> {new}",
                "flattening to a vector, or a shape that keeps the channels",
            )
    walk.emit(
        node,
        source,
        lambda name, output: Reshape(name, source.name, output),
        flat_from=flat_from,
    )


def _dropout(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    probability = float(node.args[1])  # type: ignore[arg-type]
    on = bool(node.args[2])
    if walk.evaluation and on:
        raise Unsupported(
            "dropout that stays on in evaluation mode",
            "training=True",
            "training=self.training",
            "Pass training=self.training, or use nn.Dropout",
        )
    if not on and node not in walk.training_dropouts:  # F.dropout(x, p, training=False)
        walk.alias(node, node.args[0])
        return
    channels = "feature" in str(node.target)
    walk.emit(
        node, tensor, lambda name, output: Dropout(name, tensor.name, output, probability, channels)
    )


def _convert(walk: Walk, node: fx.Node) -> None:
    """Let a conversion to float32, which activations already are, change nothing."""
    dtype = node.meta["val"].dtype
    if dtype != torch.float32:
        raise Unsupported("another number format", dtype, "float32 activations")
    walk.alias(node, node.args[0])


def _softmax(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node)
    rank = len(tensor.torch_shape) + 1
    dim = _argument(node, 1, "dim", -1)
    if not isinstance(dim, int) or dim % rank != 1:
        raise Unsupported("softmax over another dimension than channels", dim, "dim=1")
    log = "log_softmax" in str(node.target)
    walk.emit(node, tensor, lambda name, output: Softmax(name, tensor.name, output, log))


IDENTITIES = frozenset({"clone", "contiguous", "alias", "detach", "lift_fresh_copy"})
"""Operators that hand their first argument on."""

HANDLERS: dict[str, Callable[[Walk, fx.Node], None]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": _clip(0.0, math.inf),
    "relu6": _clip(0.0, 6.0),
    "hardtanh": _limits,
    "clamp": _limits,
    "clip": _limits,
    "clamp_min": _limits,
    "clamp_max": _limits,
    "add": _add,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "adaptive_max_pool2d": _adaptive_max_pool2d,
    "getitem": _getitem,
    "mean": _mean,
    "flatten": _reshape,
    "unflatten": _reshape,
    "reshape": _reshape,
    "view": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "to": _convert,
    "_to_copy": _convert,
    "softmax": _softmax,
    "log_softmax": _softmax,
}
"""Operator without overload -> its translation; in-place forms share the entry."""
