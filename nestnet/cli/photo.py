"""Make a photo into the image that a network takes, as its training images were made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from codegen.errors import UserError
from codegen.graph.ir import Graph, Int8Array, Uint8Array
from nestnet.datasets._reading.images import BACKGROUND, check_depth, decode, letterbox, resize_all


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as a network's input."""

    image: Int8Array
    """Shape (h, w, c): pixel - 128. In tiles it is larger or smaller than the network's input."""
    pixels: Uint8Array
    """The same, 0..255."""
    notes: tuple[str, ...]
    """What was done to the photo."""
    placed: tuple[tuple[float, float], tuple[float, float], tuple[int, int]]
    """Factors of x and y from the upright photo to the image, its corner there, its size."""


def read_photo(path: Path, graph: Graph, *, whole: bool = False, any_size: bool = False) -> Photo:
    """Read a photo and make it as large and as colourful as the input of ``graph``.

    Its proportions are kept if ``whole``, what is left over being mid-grey. With ``any_size`` it
    stays as large as it is: the network takes it in tiles.

    Raises:
        UserError: no such file, no image, or a network that takes other things than images.
    """
    source = graph.only_input
    height, width, channels = source.shape
    if channels not in (1, 3) or source.meaning != "pixels":
        raise UserError(
            f"network {graph.name}",
            "does not take photos",
            got=f"an input of {source.meaning}, {height}x{width}x{channels}",
            expected="pixels of 1 channel (grey) or 3 (colour)",
            action="Choose a network that was trained on images",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            str(path),
            "cannot read the photo",
            got=error.strerror or error,
            expected="an image file",
            action="Check the path",
        ) from error
    picture = decode(str(path), content, None)
    check_depth({str(path): picture})
    pixels = picture.pixels
    notes = [f"transparent pixels laid over mid-grey ({BACKGROUND})"] * picture.transparent
    if pixels.shape[2] > channels:
        notes.append("colour made grey")
        weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's conversion to grey
        pixels = np.rint(pixels @ weights)[..., None].astype(np.uint8)
    photo_h, photo_w = pixels.shape[:2]
    if any_size:
        notes.append(f"{photo_h}x{photo_w} in tiles of {height}x{width}")
        height, width = photo_h, photo_w
    x, y, left, top = width / photo_w, height / photo_h, 0.0, 0.0
    if (photo_h, photo_w) != (height, width):
        notes.append(f"scaled from {photo_h}x{photo_w} to {height}x{width}")
        if whole:
            pixels, (x, y, left, top) = letterbox(pixels, (height, width))
        else:
            pixels = resize_all(pixels[None], (height, width))[0]
    pixels = np.broadcast_to(pixels, (height, width, channels))
    placed = (x, y), (left, top), (photo_w, photo_h)
    return Photo((pixels.astype(np.int16) - 128).astype(np.int8), pixels, tuple(notes), placed)


def png(pixels: Uint8Array) -> bytes:
    """Return ``pixels`` (h, w, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
