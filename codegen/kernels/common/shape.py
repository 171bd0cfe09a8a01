"""The extents that kernels are called with."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.graph.ir import Shape
from codegen.graph.window import Windowed


@dataclass(frozen=True)
class WindowShape:
    """The members of ``nn_window_shape``; linear layers are 1x1 on a 1x1 map."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int


def window_shape(op: Windowed, in_shape: Shape, out_shape: Shape) -> WindowShape:
    """Return the extents a kernel is called with."""
    return WindowShape(*in_shape, *out_shape, *op.kernel, *op.stride, op.padding[0], op.padding[1])
