"""The requantization tables of convolutions and linear layers, as image members and constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import Graph, Requant, TfliteRequant
from codegen.graph.weighted import Weighted
from codegen.program.draft import Content


@dataclass(frozen=True)
class RequantConstants:
    """The members of ``nn_requant``: what does not depend on the level."""

    in_zero_point: int
    multiplier_shift: int
    bias_delta_shift: int
    fraction_bits: int
    pre_shift: int
    act_min: int
    act_max: int
    residual_zero_point: int
    """0 without a residual."""


def requant_constants(op: Weighted, graph: Graph) -> RequantConstants:
    """Return the level-independent constants of a layer under the nestnet rule."""
    assert isinstance(op.requant, Requant)
    residual = op.residual
    return RequantConstants(
        in_zero_point=graph.value(op.input).zero_point,
        multiplier_shift=op.requant.multiplier_shift,
        bias_delta_shift=op.requant.bias_delta_shift,
        fraction_bits=op.requant.fraction_bits,
        pre_shift=op.requant.pre_shift,
        act_min=op.act_min,
        act_max=op.act_max,
        residual_zero_point=0 if residual is None else graph.value(residual.input).zero_point,
    )


def table_contents(op: Weighted, levels: int) -> tuple[Content, ...]:
    """Return the requantization tables of ``op`` as image members."""
    requant = op.requant
    if isinstance(requant, TfliteRequant):
        return (
            Content("multiplier", requant.multiplier, 4, by_level=True),
            Content("shift", requant.shift.astype(np.int32), 4, by_level=True),
            Content("bias", requant.bias, 4),
        )
    fields = [
        Content("multiplier", requant.multiplier, 2, by_level=True),
        Content("bias", requant.bias, 2),
    ]
    if levels > 1:
        fields.append(Content("bias_delta", requant.bias_delta[:-1], 1, by_level=True))
    if op.residual is not None:
        fields.append(Content("residual_multiplier", op.residual.multiplier, 4))
    return tuple(fields)


def table_bytes(op: Weighted, level: int, levels: int) -> int:
    """Return the table bytes that running ``level`` reads."""
    out_c = op.weight.shape[0]
    if isinstance(op.requant, TfliteRequant):
        return int(12 * out_c)
    delta = out_c if level < levels - 1 else 0
    residual = 4 if op.residual is not None else 0
    return int(4 * out_c + delta + residual)
