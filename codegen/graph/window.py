"""Geometry of convolution and pooling windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import MAX_EXTENT, Broken, Int8Array, Shape

MAX_TAPS = 2**20
"""Of a window; far above what any map has, and few enough to walk in bounded time."""


class Windowed(Protocol):
    """An operator that slides a window over a map."""

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the window."""

    @property
    def stride(self) -> tuple[int, int]:
        """Vertical and horizontal."""

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right."""


def out_extent(op: Windowed, shape: Shape) -> tuple[int, int]:
    """Return output height and width for an input of ``shape``; below 1 where nothing fits."""
    kernel_h, kernel_w = op.kernel
    top, left, bottom, right = op.padding
    return (
        (shape[0] + top + bottom - kernel_h) // op.stride[0] + 1,
        (shape[1] + left + right - kernel_w) // op.stride[1] + 1,
    )


def check_window(op: Windowed) -> Iterator[Broken]:
    """Yield broken rules about kernel, stride and padding.

    Padding smaller than the kernel means that every window holds a real element.
    """
    kernel_h, kernel_w = op.kernel
    if min(kernel_h, kernel_w) < 1:
        yield "kernel is at least 1", (kernel_h, kernel_w)
    if min(op.stride) < 1:
        yield "stride is at least 1", op.stride
    if max(kernel_h, kernel_w, *op.stride) > MAX_EXTENT or kernel_h * kernel_w > MAX_TAPS:
        got = (kernel_h, kernel_w, *op.stride)
        yield f"kernel and stride are at most {MAX_EXTENT}, a kernel {MAX_TAPS} positions", got
    top, left, bottom, right = op.padding
    if min(op.padding) < 0 or max(top, bottom) >= kernel_h or max(left, right) >= kernel_w:
        yield "padding is at least 0 and smaller than the kernel", op.padding


def pad(images: Int8Array, op: Windowed, fill: int) -> Int8Array:
    """Return (n, h, w, c) images with the op's padding filled with ``fill``."""
    top, left, bottom, right = op.padding
    if not any(op.padding):
        return images
    extents = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(images, extents, constant_values=np.int8(fill))


def taps(
    padded: NDArray[Any], op: Windowed, out_h: int, out_w: int
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield, for each kernel position, (ky, kx, view (n, out_h, out_w, c)) of ``padded``."""
    kernel_h, kernel_w = op.kernel
    stride_h, stride_w = op.stride
    for ky in range(kernel_h):
        for kx in range(kernel_w):
            rows = slice(ky, ky + (out_h - 1) * stride_h + 1, stride_h)
            columns = slice(kx, kx + (out_w - 1) * stride_w + 1, stride_w)
            yield ky, kx, padded[:, rows, columns]
