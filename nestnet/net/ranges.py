"""Which tensors share a quantization, and which zero point each has."""

from __future__ import annotations

import math

from nestnet.frontend import stages as st


def zero_point(network: st.Network, name: str) -> int:
    """Return the zero point of tensor ``name``: -128 where it cannot be negative, else 0."""
    return -128 if _non_negative(network, name) else 0


def _non_negative(network: st.Network, name: str) -> bool:
    for stage in network.stages:
        if stage.output != name:
            continue
        act = getattr(stage, "act", None)
        if act is not None and act.lo >= 0:
            return True
        if isinstance(stage, st.Conv | st.Linear | st.Norm):
            return False
        return all(_non_negative(network, source) for source in st.stage_inputs(stage))
    return False


def has_limit(stage: st.Stage) -> bool:
    """Return whether the activation clips at a value other than 0.

    The limit is one int8 number for all levels, so they share one scale.
    """
    act = getattr(stage, "act", None)
    return act is not None and any(math.isfinite(x) and x != 0 for x in (act.lo, act.hi))


def quantization_sources(network: st.Network) -> dict[str, str]:
    """Return for every tensor the one whose quantization it has: pools and the like pass it on."""
    sources = {network.input: network.input}
    passing = st.MaxPool | st.AvgPool | st.Reshape | st.Dropout
    for stage in network.stages:
        passes = isinstance(stage, passing)
        sources[stage.output] = sources[stage.input] if passes else stage.output  # type: ignore[union-attr]
    return sources
