"""How sparsity moves along the pruning ramp."""

from __future__ import annotations


def cubic_sparsity(target: float, progress: float) -> float:
    """Return the sparsity at ``progress`` (0..1) of the pruning ramp.

    Gradual magnitude pruning: s = target * (1 - (1 - progress)**3), fast while many weights are
    redundant, slow near the end. Source: Zhu and Gupta, arXiv 1710.01878, equation 1.
    """
    done = min(max(progress, 0.0), 1.0)
    return target * (1.0 - (1.0 - done) ** 3)
