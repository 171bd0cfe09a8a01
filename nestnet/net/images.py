"""Check the images a user gives to a network: uint8, (n, h, w, c), as they lie in image files, or
as PyTorch is fed them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.net.tensors import Shape, Shapes

Images = NDArray[Any] | Sequence[NDArray[Any]]
"""Pixels or samples (n, h, w, c): of the only input, or an array for each of several."""


def checked_images(
    images: object, shapes: Shapes, dtype: type[np.generic] = np.uint8
) -> tuple[NDArray[Any], ...]:
    """Return an array for each input if ``images`` are at least one image of each shape (h, w, c),
    or of another ``dtype`` one window of samples.

    Raises:
        UserError: another type, number format or shape, with what to do about it.
    """
    if len(shapes) == 1:
        alone = images[0] if isinstance(images, tuple) and len(images) == 1 else images
        return (_checked(alone, shapes[0], dtype),)
    if not isinstance(images, Sequence) or len(images) != len(shapes):
        raise _not_one_each("images", images, shapes)
    arrays = tuple(map(partial(_checked, dtype=dtype), images, shapes))
    counts = {len(array) for array in arrays}
    if len(counts) > 1:
        raise UserError(
            "images",
            "not as many of every input",
            got=", ".join(str(len(array)) for array in arrays),
            expected="one of each for every sample",
            action="Give what belongs together at the same index",
        )
    return arrays


def _not_one_each(where: str, given: object, shapes: Shapes) -> UserError:
    got = f"{len(given)} of them" if isinstance(given, Sequence) else type(given).__name__
    return UserError(
        where,
        "not one for each input of the network",
        got=got,
        expected=f"{len(shapes)}: " + ", ".join("x".join(map(str, shape)) for shape in shapes),
        action="Give a tuple, in the order of the module's arguments",
    )


def _checked(images: object, shape: Shape, dtype: type[np.generic]) -> NDArray[Any]:
    """Return ``images`` if they are at least one image or window of ``shape`` (h, w, c).

    Raises:
        UserError: another type, number format or shape, with what to do about it.
    """
    if dtype != np.uint8:
        return _checked_samples(images, shape, dtype)
    expected = "a uint8 NumPy array (n, {}, {}, {}) of pixels 0..255, n at least 1".format(*shape)
    if isinstance(images, np.ndarray):
        got = f"{images.dtype} {tuple(images.shape)}"
        if images.dtype == np.uint8 and images.shape[1:] == shape and len(images):
            return images
        action = _action(images, shape)
    elif isinstance(images, torch.Tensor):
        got = f"a torch tensor, {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        action = "Give the pixels as they were before ToTensor and Normalize"
        if images.dtype == torch.uint8:
            action = "Give images.cpu().numpy(), permuted to n, h, w, c"
    else:
        got, action = type(images).__name__, "Stack the images: np.stack(list_of_images)"
    raise UserError(
        "images",
        "not pixels in the form expected",
        got=got,
        expected=expected,
        action=action,
    )


def _checked_samples(
    samples: object, shape: tuple[int, int, int], dtype: type[np.generic]
) -> NDArray[Any]:
    if isinstance(samples, np.ndarray):
        if samples.dtype == dtype and samples.shape[1:] == shape and len(samples):
            return samples
        got = f"{samples.dtype} {samples.shape}"
    else:
        got = type(samples).__name__
    raise UserError(
        "samples",
        "not raw numbers in the form expected",
        got=got,
        expected="a {} NumPy array (n, {}, {}, {}), n at least 1".format(dtype.__name__, *shape),
        action="Give windows as the training data has them, neither scaled nor normalised",
    )


def _action(images: NDArray[np.generic], shape: tuple[int, int, int]) -> str:
    """Return what turns an array that is refused into one that is not."""
    height, width, channels = shape
    if np.issubdtype(images.dtype, np.floating):
        return "Give the pixels as they are in the image files, neither scaled nor normalised"
    if images.dtype == np.int8:
        return "Add 128: (images.astype(np.int16) + 128).astype(np.uint8)"
    if images.dtype != np.uint8:
        return "Convert them with images.astype(np.uint8), if they are 0..255"
    if images.shape == shape:
        return "Give images[None] for a single image"
    if images.shape[1:] == (channels, height, width):
        return "Give images.transpose(0, 2, 3, 1)"
    if channels == 1 and images.shape[1:] == (height, width):
        return "Give images[..., None]"
    if images.ndim == 4 and not len(images):
        return "Give some images of the training set"
    return "Resize the images or trace the model for their shape"


def check_batches(given: Sequence[object], shapes: Shapes) -> None:
    """Refuse what is not one batch (n, c, h, w) of floats for each of ``shapes`` (h, w, c); a
    height of 1 may be left out.

    Raises:
        UserError: another number of them, or one of another type, number format or shape.
    """
    if len(given) != len(shapes):
        raise _not_one_each("images", given, shapes)
    for x, shape in zip(given, shapes, strict=True):
        _check_batch(x, shape)


def _check_batch(x: object, shape: Shape) -> None:
    """Refuse what is no batch (n, c, h, w) of floats for a network that takes ``shape`` (h, w, c).

    Raises:
        UserError: another type, number format or shape, with what to do about it.
    """
    h, w, c = shape
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise UserError(
            "images",
            "not what a module is fed",
            got=str(x.dtype) if isinstance(x, torch.Tensor) else type(x).__name__,
            expected=f"a tensor of floats (n, {c}, {h}, {w})",
            action="Make it of pixels as the module's training did: network.pixels.to_float(pixels)"
            " for uint8 (n, h, w, c)",
        )
    if tuple(x.shape[1:]) != (c, h, w) and (h != 1 or tuple(x.shape[1:]) != (c, w)):
        raise UserError(
            "images",
            "wrong shape",
            got=tuple(x.shape),
            expected=f"(n, {c}, {h}, {w})",
            action="Resize the images or trace the model for their shape",
        )
