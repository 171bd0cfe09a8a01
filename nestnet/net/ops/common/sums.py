"""The integer addition, which also computes an activation that stands alone: x * m + x * 0."""

from __future__ import annotations

import numpy as np

from codegen.graph.ops.add import Add
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.requant import make_add
from nestnet.net.stages import Stage
from nestnet.net.tensors import Clip

BYTES_PER_LEVEL = 12
"""Two multipliers and an offset."""


def export_sum(
    graph: GraphBuilder,
    stage: Stage,
    inputs: tuple[str, str],
    factors: tuple[float, float],
    act: Clip,
) -> None:
    """Export ``act(factors[0] * inputs[0] + factors[1] * inputs[1])`` as ``stage``'s output."""
    a, b = (graph.values[name] for name in inputs)
    y = graph.observed(stage)
    gains = np.stack([np.array(a.scale), np.array(b.scale)], axis=1)
    gains /= np.array(y.scale)[:, None]
    gains *= factors
    multiplier, offset, shift = make_add(gains, (a.zero_point, b.zero_point), y.zero_point)
    limits = act.in_steps(y.scale[-1], y.zero_point)
    graph.ops.append(
        Add(stage.name, (a.name, b.name), y.name, multiplier, offset, shift, *limits, None)
    )
