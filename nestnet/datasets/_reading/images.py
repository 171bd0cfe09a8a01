"""Decode and resize images; every failure names the file.

What a file holds becomes 8-bit grey or colour by one set of rules, wherever an image is read:

- Bits, greys and colours of 8 bits are taken as they are; CMYK, YCbCr and Lab become RGB; colour
  profiles and gamma are not applied.
- A palette becomes grey where every colour it shows is grey, else colour.
- Of 16-bit samples the upper 8 bits count. Images that leave the upper bits unused (12-bit cameras)
  would be nearly black: :func:`check_depth` refuses them.
- Transparent pixels are laid over mid-grey, 128, which is the zero that networks pad with.
- A photo is turned upright as its EXIF orientation says.
- Refused: integers of 32 bits and floating-point samples (nothing says which value is white), more
  than one picture in a file (animations, pages), 16-bit colour with a transparent colour instead of
  an alpha channel.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

from codegen.errors import UserError
from nestnet.datasets._types import Uint8Array

MAX_PIXELS = 2**28
"""Largest image decoded: what the largest cameras of phones take, 200 megapixels, and some more."""

BACKGROUND = 128
"""What shows through transparent pixels: the network's zero."""

USED_BITS = 14
"""16-bit images of which none uses more bits than this are taken for a camera's raw values."""

_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise on damaged input."""

_SEVERAL_IN_A_PHOTO = ("MPO",)
"""Formats whose first picture is the photo and whose others are previews of it."""
_PNG_DEPTH, _PNG_COLOUR = 24, 25
"""Offsets of bit depth and colour type in a PNG file."""
_PNG_GREY = (0, 4)
_TIFF_BITS = 258
_STANDARD_LUMINANCE_SUM = 3685
"""Sum of the luminance quantization table of ITU-T T.81, table K.1 (quality 50)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image and what had to be decided about it."""

    pixels: Uint8Array
    """Shape (h, w, 1) or (h, w, 3)."""
    highest: int | None
    """Largest 8-bit value before resizing, where the file holds 16-bit samples; else None."""
    transparent: bool
    """Whether some pixel was not opaque."""
    is_turned: bool = False
    """Whether it was turned, or mirrored, to be upright."""


def decode(name: str, content: bytes, resize: tuple[int, int] | None) -> Picture:
    """Decode one image to grey or colour of 8 bits, resized if asked to.

    Raises:
        UserError: ``content`` is not an image, is truncated, too large, or of a kind that the rules
            above refuse.
    """
    try:
        with _limited(), Image.open(io.BytesIO(content)) as image:
            _refuse_several(name, image)
            image.load()
            _refuse_unscaled(name, image)
            deep = _bits(image, content) > 8
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
            if deep:
                _refuse_deep_key(name, image)
            grey = image.format == "PNG" and content[_PNG_COLOUR] in _PNG_GREY
            pixels, transparent = _plain(ImageOps.exif_transpose(image), grey)
    except _BOMB as error:
        raise _unusable(
            name,
            "image too large",
            _first_line(error),
            f"at most {MAX_PIXELS} pixels",
            "Scale it down",
        ) from error
    except _BROKEN as error:
        raise _unusable(
            name,
            "not a readable image",
            f"{len(content)} bytes, {_first_line(error)}",
            "a complete image in a format Pillow reads (JPEG, PNG, BMP, ...)",
            "Repair or remove the file",
        ) from error
    highest = int(pixels.max()) if deep else None
    if resize is not None:
        pixels = resize_all(pixels[np.newaxis], resize)[0]
    return Picture(pixels, highest, transparent, is_turned)


def decode_numbers(name: str, content: bytes) -> Uint8Array:
    """Decode an image whose pixels are numbers, (h, w): bits, indices into a palette, or greys;
    upright, as :func:`decode`.

    Colours that are greys without transparency are numbers, too, and so are 16 bits up to 255.

    Raises:
        UserError: ``content`` is not an image, or has colours or larger numbers.
    """
    try:
        with _limited(), Image.open(io.BytesIO(content)) as image:
            _refuse_several(name, image)
            image.load()
            mode, deep = image.mode, _bits(image, content) > 8
            pixels = np.asarray(ImageOps.exif_transpose(image))
    except (*_BOMB, *_BROKEN) as error:
        raise _unusable(
            name,
            "not a readable image",
            f"{len(content)} bytes, {_first_line(error)}",
            "a complete image in a format Pillow reads (PNG, BMP, ...)",
            "Repair or remove the file",
        ) from error
    if mode in ("RGB", "RGBA", "LA") and not deep:
        colours = pixels if mode == "RGB" else pixels[..., :-1]
        if (colours == colours[..., :1]).all() and (mode == "RGB" or pixels[..., -1].min() == 255):
            pixels = colours[..., 0]
    is_whole = pixels.ndim == 2 and pixels.dtype.kind in "bui"
    if is_whole and pixels.min() >= 0 and pixels.max() <= 255:
        return pixels.astype(np.uint8)
    raise _unusable(
        name,
        ("numbers beyond 255" if is_whole else "an image of colours")
        + ", where numbers of classes are needed",
        f"pixels of the kind {mode}" + (f", up to {pixels.max()}" if is_whole else ""),
        "one number of 0..255 a pixel: grey, bits or a palette",
        "Write the numbers of the classes as an 8-bit grey PNG",
    )


def resize_numbers(numbers: Uint8Array, resize: tuple[int, int]) -> Uint8Array:
    """Scale numbers (h, w) to ``resize``, each pixel taking the nearest one."""
    height, width = resize
    scaled = Image.fromarray(numbers).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(scaled)


def check_depth(pictures: Mapping[str, Picture]) -> None:
    """Refuse 16-bit images, by name, none of which uses the upper bits.

    Raises:
        UserError: their values are those of a camera with fewer bits.
    """
    tops = {name: p.highest for name, p in pictures.items() if p.highest is not None}
    if not tops or max(tops.values()) >= 2 ** (USED_BITS - 8):
        return
    name = max(tops, key=lambda key: tops[key])
    most = (tops[name] + 1) * 256 - 1
    raise _unusable(
        name,
        "16-bit image that leaves its upper bits unused, so that it is nearly black",
        f"no value above {most}" + (f" in {len(tops)} such images" if len(tops) > 1 else ""),
        "values that reach up to 65535",
        f"Write 8-bit images (the values divided by {max(1, (most + 1) // 256)}), or scale to 16",
    )


def turned_upright(count: int, what: str) -> tuple[str, ...]:
    """Return what to say where ``count`` photos were turned, of the ``what`` that lie on them."""
    if not count:
        return ()
    photos = f"{count} photo{'s' * (count > 1)}"
    return (
        f"{photos} turned upright as EXIF says; {what} are taken to be drawn on them like that",
    )


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


def letterbox(image: Uint8Array, size: tuple[int, int]) -> tuple[Uint8Array, tuple[float, ...]]:
    """Return ``image`` (h, w, c) scaled to fit into ``size``, in its middle, and how boxes follow.

    Returns:
        The image (*size, c), and the factors and offsets of x and y.
    """
    height, width, channels = image.shape
    if (height, width) == size:
        return image, (1.0, 1.0, 0.0, 0.0)
    ratio = min(size[0] / height, size[1] / width)
    inner = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    whole = np.full((*size, channels), BACKGROUND, np.uint8)
    whole[top : top + inner[0], left : left + inner[1]] = resize_all(image[None], inner)[0]
    return whole, (inner[1] / width, inner[0] / height, float(left), float(top))


def jpeg_quality(content: bytes) -> int | None:
    """Estimate a JPEG's quality setting, 1..100, from its luminance table; None for other formats.

    The libjpeg scaling rule (``scale = 200 - 2 * quality`` percent from quality 50 up) inverted.
    """
    try:
        with _limited(), Image.open(io.BytesIO(content)) as image:
            tables = getattr(image, "quantization", None)
    except (*_BROKEN, *_BOMB):
        return None
    if not tables or 0 not in tables:
        return None
    percent = 100.0 * sum(tables[0]) / _STANDARD_LUMINANCE_SUM
    quality = (200.0 - percent) / 2.0 if percent <= 100.0 else 5000.0 / percent
    return int(min(100, max(1, round(quality))))


@contextmanager
def _limited() -> Iterator[None]:
    """Let Pillow decode up to MAX_PIXELS and refuse what is larger, while the block runs."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _refuse_several(name: str, image: Image.Image) -> None:
    """Refuse animations and files of several pages: nothing says which picture is meant."""
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format not in _SEVERAL_IN_A_PHOTO:
        raise _unusable(
            name,
            "several pictures in one file",
            f"{count} frames or pages",
            "one picture",
            "Save the picture that is meant, or each of them as a file of its own",
        )


def _refuse_unscaled(name: str, image: Image.Image) -> None:
    """Refuse samples of a type that does not say which value is white."""
    kind = "floating-point samples" if image.mode == "F" else ""
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # there it means 16 bits
        kind = "integer samples of another kind than 8 or 16 bits without a sign"
    if kind:
        raise _unusable(
            name,
            "pixels that do not say which value is white",
            kind,
            "samples of 8 or 16 bits",
            "Scale the values to 0..255 and write 8-bit images",
        )


def _refuse_deep_key(name: str, image: Image.Image) -> None:
    """Refuse a transparent colour in 16 bits: Pillow keeps 8 of them, where others look alike."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and key is not None:
        raise _unusable(
            name,
            "a transparent colour of 16 bits",
            f"the colour {key}",
            "an alpha channel, or 8 bits",
            "Write it with an alpha channel, or as an 8-bit image",
        )


def _bits(image: Image.Image, content: bytes) -> int:
    """Return how many bits a sample of the file has, as far as it is more than 8."""
    if image.mode.startswith("I"):
        return 16
    if image.format == "PNG":
        return content[_PNG_DEPTH]
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return int(max(np.ravel(tags.get(_TIFF_BITS, 8))))


def _plain(image: Image.Image, grey: bool) -> tuple[Uint8Array, bool]:
    """Return ``image`` as (h, w, 1 or 3) and whether some pixel was transparent.

    ``grey``: the file is grey although Pillow gives it as colour.
    """
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)[..., np.newaxis]
        key = image.info.get("transparency")
        clear = np.zeros(samples.shape, bool) if key is None else samples == key
        return np.where(clear, BACKGROUND, samples >> 8).astype(np.uint8), bool(clear.any())
    palette = image.mode in ("P", "PA")
    grey = grey or image.mode in ("1", "L", "LA", "La")
    transparent = False
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        if image.mode == "La":  # from which Pillow converts to LA alone
            image = image.convert("LA")
        samples = np.asarray(image.convert("RGBA")).astype(np.int64)
        alpha = samples[..., 3:]
        transparent = bool((alpha < 255).any())
        blended = samples[..., :3] * alpha + BACKGROUND * (255 - alpha)
        pixels: Uint8Array = ((blended + 127) // 255).astype(np.uint8)
    else:
        pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
        pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    if grey or (palette and bool((pixels == pixels[..., :1]).all())):
        pixels = pixels[..., :1]
    return np.ascontiguousarray(pixels), transparent


def _unusable(name: str, what: str, got: str, expected: str, action: str) -> UserError:
    return UserError(name, what, got=got, expected=expected, action=action)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text and "BytesIO" not in text[0] else "no known image format"
