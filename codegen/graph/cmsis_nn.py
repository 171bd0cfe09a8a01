"""What CMSIS-NN computes right, of the layers a graph can hold.

Source: CMSIS-NN at 99f736a, the files of arm_convolve_wrapper_s8 and arm_depthwise_conv_wrapper_s8
for cores without vector extension. Whatever is named here stays with our kernels.
"""

from __future__ import annotations

from collections.abc import Iterator

from codegen.graph.ir import Broken, Graph, Shape, TfliteRequant
from codegen.graph.weighted import Weighted
from codegen.graph.window import out_extent

MAX_EXTENT = 32767
"""Of a convolution's maps, kernel and channels: its depthwise functions index in 16 bits."""


def check_cmsis_nn(op: Weighted, graph: Graph) -> Iterator[Broken]:
    """Yield why a layer under the TFLite rule, which only CMSIS-NN has, is not one it computes."""
    if isinstance(op.requant, TfliteRequant):
        reason = obstacle(op, graph.value(op.input).shape)
        if reason is not None:
            yield "the TFLite rule only on layers that CMSIS-NN computes", reason


def obstacle(op: Weighted, in_shape: Shape) -> str | None:
    """Return why CMSIS-NN cannot compute ``op`` on an input of ``in_shape``; None if it can."""
    if op.group_level is not None:
        return "its levels have weights of their own"
    if op.weight.ndim == 2:
        return None
    if op.residual is not None:
        return "it adds a residual before rounding"
    if op.groups not in (1, in_shape[2]):
        return f"it has {op.groups} groups of {op.weight.shape[3]} channels"
    extents = (*in_shape, *out_extent(op, in_shape), *op.weight.shape, *op.stride)
    if max(extents) > MAX_EXTENT or op.weight.shape[1] * op.weight.shape[2] > MAX_EXTENT:
        return f"an extent is above {MAX_EXTENT}"
    if _reads_past_the_row(op, in_shape):
        return "its 3x3 depthwise function reads past the row where right padding of 2 is used"
    return None


def _reads_past_the_row(op: Weighted, in_shape: Shape) -> bool:
    """Return whether a depthwise 3x3 window has only its first column inside the map.

    ``arm_depthwise_conv_3x3_s8`` runs for padding of at most 1 above and to the left. It leaves out
    the first column of a window left of the map and the last right of it, never the middle one.
    """
    out_c, kernel_h, kernel_w, _ = op.weight.shape
    is_depthwise = op.groups == in_shape[2] == out_c and op.groups > 1
    if not is_depthwise or (kernel_h, kernel_w) != (3, 3) or max(op.padding[:2]) > 1:
        return False
    last = (out_extent(op, in_shape)[1] - 1) * op.stride[1] - op.padding[1]
    return last + 1 >= in_shape[1]
