"""How an operator's output may lie over an input that it is the last to read.

A kernel that writes an output byte must have read whatever input lay there. Reading and writing
both move up through the buffers, so the output may start a certain distance, the *lead*, below the
input, and at any larger distance; the lead is negative where the kernel reads ahead. The order in
which each kernel reads and writes is part of its contract (``firmware/kernels/``).
"""

from __future__ import annotations

import numpy as np

from codegen.kernels.common.repeat import Repeat
from codegen.kernels.common.shape import WindowShape
from codegen.program.draft import Overlap

ELEMENTWISE = Overlap(0)
"""Element i is read before output i is written, and i rises."""


def repeat_overlap(order: Repeat) -> Overlap:
    """Return the rule of a second operand that is read again for later elements."""
    block, row, k = np.ogrid[: order.blocks, : order.rows, : order.count]
    met = block * order.block_step + row * order.row_step + k * order.step
    unread = np.minimum.accumulate(met.reshape(-1)[::-1])[::-1]
    leads = np.arange(1, order.elements) - unread[1:]
    return Overlap(int(max([-int(met.max()) - 1, *leads])))


def any_overlap(in_bytes: int) -> Overlap:
    """Return the rule of a kernel that reads all of its input before it writes."""
    return Overlap(-in_bytes)


def residual_overlap(shape: WindowShape) -> Overlap:
    """Return the rule of the residual of a convolution on the patch buffer.

    Each element is read before the output at its index is written, in any order within an output
    row: the same address, or whole rows apart.
    """
    return Overlap(0, shape.out_w * shape.out_c)


def patch_overlap(shape: WindowShape) -> Overlap:
    """Return the rule of the input of a convolution on the patch buffer.

    Before output row oy, the input rows below ``oy * stride_h - pad_top + kernel_h`` have been
    expanded; what later output rows expand must not be written yet.
    """
    in_row, out_row = shape.in_w * shape.in_c, shape.out_w * shape.out_c
    lead = -shape.in_h * in_row
    for row in range(shape.out_h - 1):
        unread = row * shape.stride_h - shape.pad_top + max(shape.kernel_h, shape.stride_h)
        if unread < shape.in_h:
            lead = max(lead, (row + 1) * out_row - max(unread, 0) * in_row)
    return Overlap(lead)


def depthwise_overlap(shape: WindowShape, band: int) -> Overlap:
    """Return the rule of a depthwise convolution's input.

    Channels mind only themselves if the distance is a multiple of a pixel. Of each, the input of
    ``band`` output rows is expanded before the first of them is written.
    """
    in_row, out_row = shape.in_w * shape.in_c, shape.out_w * shape.out_c
    lead = -shape.in_h * in_row
    for row in range(band, shape.out_h, band):
        unread = row * shape.stride_h - shape.pad_top
        if unread < shape.in_h:
            lead = max(lead, row * out_row - max(unread, 0) * in_row)
    return Overlap(lead, shape.in_c)


def concat_overlap(runs: int, run_bytes: int, step_bytes: int) -> Overlap:
    """Return the rule of a concatenation's first input: its runs are spread before all others."""
    return Overlap((runs - 1) * (step_bytes - run_bytes))


def window_overlap(shape: WindowShape, *, by_channel: bool) -> Overlap:
    """Return the rule of a kernel that reads each output's window where it lies, pixel by pixel.

    Args:
        shape: the layer's extents.
        by_channel: an output channel reads that input channel alone, before it is written.
    """
    tops = np.arange(shape.out_h) * shape.stride_h - shape.pad_top
    lefts = np.arange(shape.out_w) * shape.stride_w - shape.pad_left
    corners = tops.clip(0)[:, None] * shape.in_w + lefts.clip(0)[None, :]
    needed = np.minimum.accumulate(corners.reshape(-1)[::-1])[::-1]
    written = np.arange(1, len(needed) + 1)
    if by_channel:  # a pixel's own window has been read
        needed, written = needed[1:], written[:-1]
    leads = written * shape.out_c - needed * shape.in_c
    lowest = -shape.in_h * shape.in_w * shape.in_c
    step = shape.in_c if by_channel else 1
    return Overlap(int(max(leads, default=lowest)), step)
