"""Decode and resize images; every failure names the file."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

from codegen.errors import UserError
from nestnet.datasets._types import Uint8Array

_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow's decoders raise on damaged input."""

_STANDARD_LUMINANCE_SUM = 3685
"""Sum of the luminance quantization table of ITU-T T.81, table K.1 (quality 50)."""


def decode(name: str, content: bytes, resize: tuple[int, int] | None) -> Uint8Array:
    """Decode one image to shape (h, w, 1) or (h, w, 3), resized if asked to.

    16-bit grey images keep their upper 8 bits; palettes become colour; transparency is dropped.

    Raises:
        UserError: ``content`` is not an image, is truncated, or has an unsupported pixel type.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
                plain = _eight_bit(upright)
    except _BROKEN as error:
        raise UserError(
            name,
            "not a readable image",
            got=f"{len(content)} bytes, {_first_line(error)}",
            expected="a complete image in a format Pillow reads (JPEG, PNG, BMP, ...)",
            action="Repair or remove the file",
        ) from error
    if resize is not None:
        height, width = resize
        plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(plain, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def resize_all(images: Uint8Array, resize: tuple[int, int]) -> Uint8Array:
    """Scale images of shape (n, h, w, 1 or 3) to (n, *resize, c), bilinear."""
    height, width = resize
    scaled = [
        np.asarray(
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for pixels in images
    ]
    return np.stack(scaled).reshape(len(images), height, width, images.shape[-1])


def jpeg_quality(content: bytes) -> int | None:
    """Estimate a JPEG's quality setting, 1..100, from its luminance table; None for other formats.

    The libjpeg scaling rule (``scale = 200 - 2 * quality`` percent from quality 50 up) inverted.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            tables = getattr(image, "quantization", None)
    except _BROKEN:
        return None
    if not tables or 0 not in tables:
        return None
    percent = 100.0 * sum(tables[0]) / _STANDARD_LUMINANCE_SUM
    quality = (200.0 - percent) / 2.0 if percent <= 100.0 else 5000.0 / percent
    return int(min(100, max(1, round(quality))))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return ``image`` in mode L or RGB."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    return image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text and "BytesIO" not in text[0] else "no known image format"
