"""Notice when a trained network is shown other inputs than it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestnet.net.images import Images
from nestnet.net.network import NestedNet, device_of, to_float_input
from nestnet.net.quantizer import evaluation
from nestnet.notices import notice

IMAGES = 256
"""Most images looked at."""
_FEWEST = 16
_RATIO = 2.5
"""Of variances: pixels of 0..1 differ from (pixel - 128) / 64 by 16, of -1..1 by 4."""
_SHIFT = 2.0
"""Of means, in standard deviations of the trained statistics."""


def notice_other_inputs(network: NestedNet, images: Images) -> None:
    """Compare the first batch norm's statistics with what ``images`` (n, h, w, c), of several
    inputs a tuple, give it.

    Says nothing where it cannot know: without batch norm, with statistics that are still those of
    an untrained one, with fewer than 16 images, or once the network is quantized.
    """
    arrays = (images,) if isinstance(images, np.ndarray) else tuple(images)
    known = len(arrays[0]) >= _FEWEST and not network.quantize
    found = _first_norm(network, [array[:IMAGES] for array in arrays]) if known else None
    if found is None:
        return
    ratio, shift = found
    if 1 / _RATIO < ratio < _RATIO and shift < _SHIFT:
        return
    seen = network.pixels
    notice(
        f"the first batch norm was trained on other inputs: on these images its variance is "
        f"{ratio:.3g} times and its mean {shift:.3g} standard deviations from the trained one. The "
        f"network is fed {seen.told}; if it was trained on other inputs, give "
        "mean and std"
    )


def _first_norm(network: NestedNet, images: Sequence[NDArray[Any]]) -> tuple[float, float] | None:
    """Return the median ratio of variances and shift of means at the first trained batch norm."""
    level = network.n_levels - 1
    device = device_of(network)
    with evaluation(network):
        batch = [to_float_input(array, network.pixels).to(device) for array in images]
        values = network.entered(batch)
        for step in network.steps:
            norm = step.norm
            if norm is None or norm.fixed:
                values[step.stage.output] = network.run_step(step, values, level)
                continue
            x = values[step.stage.inputs[0]]
            y = x if step.layer is None else step.layer(x, level)
            var, mean = torch.var_mean(y.transpose(0, 1).flatten(1), dim=1)
            trained_mean, trained_var = norm.running_mean[level], norm.running_var[level]
            if bool((trained_mean == 0).all()) and bool((trained_var == 1).all()):
                return None
            spread = trained_var.clamp_min(torch.finfo(torch.float32).tiny)
            shift = (mean - trained_mean).abs() / spread.sqrt()
            return float((var / spread).median()), float(shift.median())
    return None
