"""Every kind of picture is read as the rules say or refused: never silently wrong."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codegen.errors import UserError
from nestnet import datasets
from nestnet.datasets._reading import images as _images
from nestnet.datasets._reading.images import check_depth, decode
from nestnet.datasets.cifar10 import CLASS_NAMES
from tests.support.data_trees import WRITERS, encode, random_tree, write_directory


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return ``image`` as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png16(samples: np.ndarray, transparent: tuple[int, ...] = ()) -> bytes:
    """Return 16-bit ``samples`` (h, w, 1, 2, 3 or 4) as a PNG, which Pillow cannot write itself.

    ``transparent`` is a colour that shall be, one number for each channel.
    """
    height, width, channels = samples.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    key = chunk(b"tRNS", struct.pack(f">{channels}H", *transparent)) if transparent else b""
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), key, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def with_alpha(colour: int, alpha: int, mode: str) -> bytes:
    channels = (colour,) * (len(mode) - 1)
    return save(Image.new(mode, (5, 3), (*channels, alpha)), "PNG")


def palette(shown: tuple[int, int, int]) -> bytes:
    """Return an image that shows one entry of a palette whose other entries are coloured."""
    image = Image.new("P", (5, 3), 1)
    image.putpalette([255, 0, 0, *shown, 0, 0, 255])
    return save(image, "PNG")


FILES: dict[str, tuple[bytes, list[int]]] = {
    "bilevel": (encode(np.full((3, 5), True)), [255]),
    "grey": (encode(np.full((3, 5), 77, np.uint8)), [77]),
    "grey bmp": (encode(np.full((3, 5), 77, np.uint8), "BMP"), [77]),
    "colour": (encode(np.full((3, 5, 3), (1, 2, 3), np.uint8)), [1, 2, 3]),
    "cmyk": (save(Image.new("CMYK", (5, 3), (255, 0, 128, 0)), "TIFF"), [0, 255, 127]),
    "cmyk jpeg": (save(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"), [0, 0, 0]),
    "grey opaque": (with_alpha(77, 255, "LA"), [77]),
    "colour opaque": (with_alpha(77, 255, "RGBA"), [77, 77, 77]),
    "grey transparent": (with_alpha(77, 0, "LA"), [128]),
    "black shape in the alpha": (with_alpha(0, 0, "RGBA"), [128, 128, 128]),
    "half transparent": (with_alpha(0, 64, "RGBA"), [96, 96, 96]),
    "transparent colour key": (
        save(Image.new("RGB", (5, 3), (9, 8, 7)), "PNG", transparency=(9, 8, 7)),
        [128, 128, 128],
    ),
    "transparent grey key": (save(Image.new("L", (5, 3), 9), "PNG", transparency=9), [128]),
    "grey palette": (palette((77, 77, 77)), [77]),
    "colour palette": (palette((77, 78, 79)), [77, 78, 79]),
    "grey gif": (encode(np.full((3, 5), 77, np.uint8), "GIF"), [77]),
    "grey 16 bits": (encode(np.full((3, 5), 0x4D12, np.uint16)), [0x4D]),
    "grey 16 bits tiff": (encode(np.full((3, 5), 0x4D12, np.uint16), "TIFF"), [0x4D]),
    "grey 16 bits pgm": (b"P5 1 1 65535\n\x4d\x12", [0x4D]),
    "grey 12 bits pgm": (b"P5 1 1 4095\n\x08\x00", [0x80]),
    "grey 16 bits opaque": (png16(np.full((3, 5, 2), (0x4D12, 0xFFFF))), [0x4D]),
    "grey 16 bits transparent key": (
        png16(np.full((3, 5, 1), 0x4D12), transparent=(0x4D12,)), [128]),
    "grey 16 bits other key": (png16(np.full((3, 5, 1), 0x4D12), transparent=(0x4D13,)), [0x4D]),
    "colour 16 bits": (png16(np.full((3, 5, 3), (0x4D12, 0x4E00, 0xFFFF))), [0x4D, 0x4E, 0xFF]),
    "photo with a preview": (
        save(Image.new("RGB", (8, 8), (200,) * 3), "MPO", save_all=True,
             append_images=[Image.new("RGB", (8, 8))]),
        [200, 200, 200],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_pixels_are_what_the_file_says(kind: str) -> None:
    content, expected = FILES[kind]
    picture = decode("x", content, None)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape[2] == len(expected)
    assert {tuple(pixel) for pixel in picture.pixels.reshape(-1, len(expected)).tolist()} == {
        tuple(expected)
    }
    assert picture.transparent == ("transparent" in kind or "alpha" in kind)
    assert (picture.highest is not None) == ("bits" in kind)


FRAMES = [Image.new("L", (5, 3), value) for value in (10, 90, 200)]
PAGES = [Image.new("L", (5, 3), value) for value in (10, 20)]
REFUSED = {
    "animation": (
        save(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
        r"several pictures in one file; got 3 frames or pages",
    ),
    "animated png": (
        save(PAGES[0], "PNG", save_all=True, append_images=PAGES[1:]),
        r"several pictures in one file; got 2 frames",
    ),
    "pages": (
        save(PAGES[0], "TIFF", save_all=True, append_images=PAGES[1:]),
        r"several pictures in one file; got 2 frames",
    ),
    "32-bit integers": (encode(np.full((3, 5), 300, np.int32), "TIFF"), r"which value is white"),
    "signed 16 bits": (
        save(Image.fromarray(np.full((3, 5), 300, np.uint16)), "TIFF", tiffinfo={339: 2}),
        r"which value is white; got integer samples of another kind",
    ),
    "colour 16 bits with a transparent colour": (
        png16(np.full((3, 5, 3), (9, 8, 7)), transparent=(9, 8, 7)),
        r"a transparent colour of 16 bits; got .*\(9, 8, 7\).*alpha channel",
    ),
    "floats": (
        encode(np.full((3, 5), 0.3, np.float32), "TIFF"),
        r"which value is white; got floating-point samples.*Scale the values to 0\.\.255",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_pictures_without_one_meaning_are_refused(kind: str) -> None:
    content, message = REFUSED[kind]
    with pytest.raises(UserError, match=message):
        decode("x", content, None)


@pytest.mark.parametrize(
    "files",
    [
        {"a": encode(np.full((3, 5), 4095, np.uint16)), "b": encode(np.zeros((3, 5), np.uint16))},
        {"a": encode(np.full((3, 5), 0x3FFF, np.uint16), "TIFF")},
        {"a": png16(np.full((3, 5, 3), 4095))},
        {"a": png16(np.full((3, 5, 2), (4095, 0xFFFF)))},
    ],
    ids=["grey png", "grey tiff of 14 bits", "colour png", "grey and alpha"],
)
def test_raw_values_of_a_camera_are_refused(files: dict[str, bytes]) -> None:
    pictures = {name: decode(name, content, (2, 2)) for name, content in files.items()}
    with pytest.raises(UserError, match=r"a: 16-bit image that leaves its upper bits unused"):
        check_depth(pictures)
    pictures["bright"] = decode("bright", encode(np.full((3, 5), 0x4000, np.uint16)), None)
    check_depth(pictures)


def test_grey_images_of_8_bits_may_be_dark() -> None:
    check_depth({"a": decode("a", encode(np.full((3, 5), 3, np.uint8)), None)})


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_photos_are_turned_upright(kind: str, orientation: int) -> None:
    upright = np.full((16, 24), 40, np.uint8)
    upright[:8, :8] = 200
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = save(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    pixels = decode("x", content, None).pixels
    assert pixels.shape[:2] == (16, 24)
    assert np.abs(pixels[..., 0].astype(int) - upright).max() < 30


@pytest.mark.parametrize("form", WRITERS)
def test_every_container_reads_alike_and_says_what_it_did(form: str, tmp_path: Path) -> None:
    files, _ = random_tree(size=(3, 5))
    files["train/ant/00.png"] = with_alpha(0, 64, "LA")
    files["test/bee/01.png"] = encode(np.full((3, 5), 0x4D12, np.uint16))
    for again in range(2):  # decoded, then from the cache
        loaded = datasets.load("folder", WRITERS[form](files, tmp_path / f"{again}{form}"))
        assert np.unique(loaded.train.images[0]).tolist() == [96]
        assert np.unique(loaded.test.images[4]).tolist() == [0x4D]
        assert [note for note in loaded.notes if "transparent" in note] == [
            "1 of 18 images have transparent pixels, as train/ant/00.png: laid over mid-grey (128)"
        ]


def test_class_folders_of_cifar10_are_read_alike(tmp_path: Path) -> None:
    files, _ = random_tree(CLASS_NAMES, size=(32, 32, 3), per_class=1)
    files["train/ship/00.png"] = save(Image.new("RGBA", (32, 32), (0, 0, 0, 64)), "PNG")
    loaded = datasets.load("cifar10", write_directory(files, tmp_path / "a"))
    assert np.unique(loaded.train.images[8]).tolist() == [96]
    assert any("transparent" in note for note in loaded.notes)
    files["train/ship/00.png"] = REFUSED["animation"][0]
    with pytest.raises(UserError, match=r"train/ship/00\.png: several pictures"):
        datasets.load("cifar10", write_directory(files, tmp_path / "b"))


def test_all_unusable_files_are_listed_at_once(tmp_path: Path) -> None:
    files, _ = random_tree()
    files["train/ant/00.png"] = files["train/ant/00.png"][:50]
    files["train/bee/notes.txt"] = b"bees"
    files["test/cat/a.gif"] = files["test/cat/b.gif"] = REFUSED["animation"][0]
    with pytest.raises(UserError, match=r"4 files that cannot be used as images") as caught:
        datasets.load("folder", write_directory(files, tmp_path))
    message = str(caught.value)
    assert "several pictures in one file (3 frames or pages): test/cat/a.gif, test/cat/b.gif" in (
        message
    )
    assert "train/ant/00.png" in message and "train/bee/notes.txt" in message


def test_large_photos_are_read_and_larger_ones_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from 89 megapixels on; phones take 108 and 200."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    content = encode(np.full((47, 53), 77, np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode("x", content, (2, 3)).pixels.tolist() == [[[77]] * 3] * 2
    assert Image.MAX_IMAGE_PIXELS == 1000, "the caller's own limit is left as it was"
    for limit in (2000, 1000):  # of which Pillow warns, and which it refuses itself
        monkeypatch.setattr(_images, "MAX_PIXELS", limit)
        with pytest.raises(UserError, match=rf"x: image too large; got .*at most {limit} pixels"):
            decode("x", content, (2, 3))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), flip=st.integers(0, 399), value=st.integers(1, 255))
def test_damaged_bytes_never_escape_as_another_error(cut: int, flip: int, value: int) -> None:
    good = bytearray(encode(random_tree(seed=1)[1]["train/ant/00.png"], "JPEG"))
    good[flip % len(good)] ^= value
    try:
        pixels = decode("x", bytes(good[: max(1, len(good) - cut)]), (4, 4)).pixels
    except UserError as error:
        assert "x: " in str(error)
    else:
        assert pixels.shape[:2] == (4, 4)
