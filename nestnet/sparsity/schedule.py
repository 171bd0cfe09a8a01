"""How sparsity and learning rate move during training."""

from __future__ import annotations

import math


def cubic_sparsity(target: float, progress: float) -> float:
    """Return the sparsity at ``progress`` (0..1) of the pruning ramp.

    Gradual magnitude pruning: s = target * (1 - (1 - progress)**3), fast while many weights are
    redundant, slow near the end. Source: Zhu and Gupta, arXiv 1710.01878, equation 1.
    """
    done = min(max(progress, 0.0), 1.0)
    return target * (1.0 - (1.0 - done) ** 3)


def one_cycle(peak: float, progress: float, rise: float = 0.2, final: float = 0.002) -> float:
    """Return the learning rate at ``progress`` (0..1): linear rise, cosine fall.

    Starts at ``peak / 10``, reaches ``peak`` at ``rise`` and ends at ``final * peak``.
    """
    done = min(max(progress, 0.0), 1.0)
    if done < rise:
        return peak * (0.1 + 0.9 * done / rise)
    fall = (done - rise) / (1.0 - rise)
    return peak * (final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * fall)))
