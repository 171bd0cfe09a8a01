"""Quantize a nested network: the one way there is, whoever asks for it.

quantize(net, images)                       # uint8 pixels, after a training loop of one's own
quantize(net, batches, combine=largest)     # a training's own batches, on several processes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
from torch import Tensor

from codegen.errors import UserError
from nestnet.net.finite import check_ranges
from nestnet.net.images import Images, checked_images
from nestnet.net.network import Inputs, NestedNet, float_batches
from nestnet.net.quantizer import Observer, calibration


@dataclass(frozen=True)
class Quantization:
    """How activation ranges are found; what int8 numbers mean is docs/integer-contract.md."""

    batch_size: int = 64
    """Images of one forward pass where ranges are measured on images."""
    range_batches: int = 16
    """Training batches that ranges start from in the quantization-aware phase."""
    moving_share: float = 0.6
    """Share of the quantization-aware epochs in which ranges still move, 0..1."""

    def __post_init__(self) -> None:
        """Check every field; UserError for the first wrong one."""
        for key in ("batch_size", "range_batches"):
            if getattr(self, key) < 1:
                raise _bad(key, getattr(self, key), "at least 1")
        if not 0 <= self.moving_share <= 1:
            raise _bad("moving_share", self.moving_share, "0..1")


DEFAULT = Quantization()


def _bad(key: str, got: object, expected: str) -> UserError:
    return UserError(
        f"Quantization.{key}", "not acceptable", got=got, expected=expected, action="Change it"
    )


def quantize(
    network: NestedNet,
    data: Images | Iterable[Inputs],
    config: Quantization = DEFAULT,
    combine: Callable[[Iterable[Tensor]], None] | None = None,
) -> None:
    """Turn fake quantization on and set the activation ranges of all levels from ``data``.

    Earlier ranges are forgotten; a range becomes the largest value of all data and, where levels
    share it, of all levels. Weights and batch norms stay as they are, batch norms frozen.

    Args:
        network: on any device.
        data: images (n, h, w, c), a tuple of them where there are several inputs; or batches of
            what the network is fed, on its device.
        config: how ranges are found.
        combine: replaces each range by the largest of all processes; None where there is one.

    Raises:
        UserError: images of another type or shape, or a layer's output is not finite.
    """
    pixels = isinstance(data, np.ndarray) or (isinstance(data, tuple) and _are_arrays(data))
    batches = cast(Iterable[Inputs], data)
    if pixels:
        images = checked_images(data, network.input_shapes, network.pixels.dtype)
        batches = float_batches(network, images, config.batch_size)
    network.set_quantize(True, bn_frozen=True)
    with calibration(network):
        for inputs in batches:
            for level in range(network.n_levels):
                network.logits(inputs, level)
    if combine is not None:
        combine(module.range for module in network.modules() if isinstance(module, Observer))
    check_ranges(network)


def _are_arrays(data: tuple[object, ...]) -> bool:
    return all(isinstance(each, np.ndarray) for each in data)
