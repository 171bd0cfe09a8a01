"""Dense weight rows in the order of the sliding patch buffer; docs/format.md, "Dense weights"."""

from __future__ import annotations

import numpy as np

from codegen.errors import UserError
from codegen.formats.base import Format, LayerWeights, Stream
from codegen.graph.ir import NEVER, Int8Array

WORD_ORDER = (0, 2, 1, 3)
"""Where the four weights of a word come from: SXTB16 then yields (w0, w1), ROR #8 (w2, w3)."""


def padded_channels(in_c: int, kernel_h: int, stride: tuple[int, int]) -> int:
    """Return the channels a dense layer's patch buffer holds: ``in_c``, or one more.

    Every patch must start on a word: the next column's and, where the buffer slides, the next
    row's are an even number of elements away. An odd ``in_c`` with odd steps gets one channel more.
    """
    stride_h, stride_w = stride
    odd_column = stride_w * kernel_h * in_c % 2
    odd_row = stride_h < kernel_h and stride_h * in_c % 2
    return in_c + 1 if odd_column or odd_row else in_c


def row_bytes(kernel_h: int, kernel_w: int, channels: int) -> int:
    """Return the bytes of one output channel's row."""
    return -(-kernel_h * kernel_w * channels // 4) * 4


def encode(weight: Int8Array, channels: int) -> Int8Array:
    """Lay out (out_c, kernel_h, kernel_w, in_c) as rows (out_c, row_bytes).

    Args:
        weight: dense weights.
        channels: in_c with the padding channels, whose weights are zero.
    """
    out_c, kernel_h, kernel_w, in_c = weight.shape
    count = kernel_h * kernel_w * channels
    patch = np.zeros((out_c, kernel_w, kernel_h, channels), np.int8)
    patch[..., :in_c] = weight.transpose(0, 2, 1, 3)
    rows = np.zeros((out_c, row_bytes(kernel_h, kernel_w, channels)), np.int8)
    rows[:, :count] = patch.reshape(out_c, count)
    words = rows.reshape(out_c, -1, 4)[..., list(WORD_ORDER)]
    return np.ascontiguousarray(words.reshape(rows.shape))


def decode(rows: Int8Array, shape: tuple[int, int, int, int], channels: int) -> Int8Array:
    """Return the weights of ``shape`` (out_c, kernel_h, kernel_w, in_c) stored in ``rows``.

    Raises:
        UserError: ``rows`` has another shape than ``shape`` calls for, or non-zero padding.
    """
    out_c, kernel_h, kernel_w, in_c = shape
    expected = (out_c, row_bytes(kernel_h, kernel_w, channels))
    if rows.shape != expected:
        raise UserError(
            "dense weights",
            "wrong size",
            got=rows.shape,
            expected=expected,
            action="Decode with the layer's own shape",
        )
    count = kernel_h * kernel_w * channels
    inverse = np.argsort(WORD_ORDER)
    plain = rows.reshape(out_c, -1, 4)[..., inverse].reshape(out_c, -1)
    patch = plain[:, :count].reshape(out_c, kernel_w, kernel_h, channels)
    if plain[:, count:].any() or patch[..., in_c:].any():
        raise UserError(
            "dense weights",
            "damaged padding",
            got="non-zero bytes",
            expected="zeros",
            action="Generate the weights again",
        )
    return np.ascontiguousarray(patch[..., :in_c].transpose(0, 2, 1, 3))


class Dense(Format):
    """Rows of all weights: one weight set for all levels."""

    name = "dense"
    per_level = False

    def holds(self, layer: LayerWeights) -> bool:
        """Return whether all levels share one weight set."""
        return layer.group_level is None or bool(np.isin(layer.group_level, (0, NEVER)).all())

    def channels(self, layer: LayerWeights) -> int:
        """Return the channels of the patch buffer."""
        return padded_channels(layer.weight.shape[3], layer.weight.shape[1], layer.stride)

    def unit_bytes(self, layer: LayerWeights) -> int:
        """Return a word: four weights."""
        return 4

    def encode(self, layer: LayerWeights) -> tuple[Stream, ...]:
        """Return the rows."""
        return (Stream("weights", encode(layer.weight, self.channels(layer)), 4),)


FORMAT = Dense()
