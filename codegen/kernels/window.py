"""Geometry of convolution and pooling windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import AvgPool, Conv2D, Int8Array, MaxPool, Shape
from codegen.program.lowering import round_up
from codegen.program.packed import WindowShape

Windowed = Conv2D | MaxPool | AvgPool
Broken = tuple[str, object]

OVER_READ = 4
"""Elements kernels may read past the patch buffer's last one."""

MAX_EXTENT = 65535
MAX_TAPS = 2**20
"""Of a window; far above what any map has, and few enough to walk in bounded time."""

DEPTHWISE_PLANES = 4
"""Channels the depthwise kernel expands at once."""

DEPTHWISE_BYTES = 3072
"""Scratch a depthwise convolution does not exceed if two rows of outputs fit in less."""


def kernel_of(op: Windowed) -> tuple[int, int]:
    """Return kernel height and width."""
    if isinstance(op, Conv2D):
        return int(op.weight.shape[1]), int(op.weight.shape[2])
    return op.kernel


def out_extent(op: Windowed, shape: Shape) -> tuple[int, int]:
    """Return output height and width for an input of ``shape``; below 1 where nothing fits."""
    kernel_h, kernel_w = kernel_of(op)
    top, left, bottom, right = op.padding
    return (
        (shape[0] + top + bottom - kernel_h) // op.stride[0] + 1,
        (shape[1] + left + right - kernel_w) // op.stride[1] + 1,
    )


def check_window(op: Windowed) -> Iterator[Broken]:
    """Yield broken rules about kernel, stride and padding.

    Padding smaller than the kernel means that every window holds a real element.
    """
    kernel_h, kernel_w = kernel_of(op)
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


def window_shape(op: Windowed, in_shape: Shape, out_shape: Shape) -> WindowShape:
    """Return the extents a kernel is called with."""
    kernel_h, kernel_w = kernel_of(op)
    return WindowShape(
        *in_shape, *out_shape, kernel_h, kernel_w, *op.stride, op.padding[0], op.padding[1]
    )


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
    kernel_h, kernel_w = kernel_of(op)
    stride_h, stride_w = op.stride
    for ky in range(kernel_h):
        for kx in range(kernel_w):
            rows = slice(ky, ky + (out_h - 1) * stride_h + 1, stride_h)
            columns = slice(kx, kx + (out_w - 1) * stride_w + 1, stride_w)
            yield ky, kx, padded[:, rows, columns]


CHANNEL_BYTES = 8
"""An ``nn_channel``: a nested convolution keeps one per output channel before its patch buffer."""


def patch_buffer_bytes(shape: WindowShape, channels: int) -> int:
    """Return the bytes of a convolution's sliding patch buffer (docs/adr/0002).

    Args:
        shape: the layer's extents.
        channels: input channels with padding.
    """
    padded_w = (shape.out_w - 1) * shape.stride_w + shape.kernel_w
    elements = padded_w * shape.kernel_h * channels + OVER_READ
    if shape.stride_h < shape.kernel_h:
        elements += (shape.out_h - 1) * shape.stride_h * channels
    return round_up(2 * elements, 8)


def depthwise_scratch_bytes(shape: WindowShape, band: int) -> int:
    """Return the bytes of a depthwise convolution's planes (docs/format.md, "Depthwise scratch").

    Args:
        shape: the layer's extents.
        band: output rows whose input is expanded at once.
    """
    pitch = round_up((shape.out_w - 1) * shape.stride_w + shape.kernel_w, 2)
    rows = (band - 1) * shape.stride_h + shape.kernel_h
    return round_up(2 * min(DEPTHWISE_PLANES, shape.out_c) * rows * pitch, 8)


def depthwise_band(shape: WindowShape) -> int:
    """Return the output rows a depthwise convolution expands at once.

    All of them if the planes take at most ``DEPTHWISE_BYTES``, else even parts of the map: each
    part expands ``kernel_h - stride_h`` rows again. Even, because tiles are two rows high.
    """
    band = shape.out_h
    parts = 1
    while band > 2 and depthwise_scratch_bytes(shape, band) > DEPTHWISE_BYTES:
        parts += 1
        band = round_up(-(-shape.out_h // parts), 2)
    return band


def cmsis_scratch_bytes(shape: WindowShape, depthwise: bool) -> int:
    """Return a bound on the context buffer ``arm_*_wrapper_s8`` asks for, Cortex-M with DSP.

    Source: CMSIS-NN arm_convolve_get_buffer_sizes_s8.c and
    arm_depthwise_conv_get_buffer_sizes_s8.c, the DSP variants: two int16 columns of
    ``kernel_h * kernel_w * in_c`` (rounded up to 4), or as many int16 for depthwise.
    The generated code still compares this with the library's own ``*_get_buffer_size``.
    """
    patch = shape.kernel_h * shape.kernel_w * shape.in_c
    if depthwise:
        return -(-2 * patch // 8) * 8
    column = -(-patch // 4) * 4
    return -(-4 * column // 8) * 8
