"""The extents that kernels are called with."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.graph.ir import Shape
from codegen.graph.window import Windowed
from codegen.program.call import Args


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


@dataclass(frozen=True)
class Sides:
    """The members of ``nn_sides``: numbers of rows and columns around a map."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class WindowArgs(Args):
    """Literal arguments of a kernel that goes through windows."""

    shape: WindowShape

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of the first input; a residual is as large as the output."""
        return (self.shape.in_h * self.shape.in_w * self.shape.in_c,)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        return self.shape.out_h * self.shape.out_w * self.shape.out_c


def window_shape(op: Windowed, in_shape: Shape, out_shape: Shape) -> WindowShape:
    """Return the extents a kernel is called with."""
    return WindowShape(*in_shape, *out_shape, *op.kernel, *op.stride, op.padding[0], op.padding[1])
