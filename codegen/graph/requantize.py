"""Round real multipliers and biases to the tables of the nestnet rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.ir import INT32_MAX, Requant

FloatArray = NDArray[np.float64]


def make_requant(
    multiplier: FloatArray, bias: FloatArray, accumulator_bound: Sequence[int] | NDArray[np.int64]
) -> Requant:
    """Round real constants to the nestnet rule's tables.

    Args:
        multiplier: (levels, out_c), output steps per accumulator step.
        bias: (levels, out_c), output steps, the output zero point included.
        accumulator_bound: (out_c,), largest ``|acc|`` of any level.

    Raises:
        UserError: no shifts keep the accumulators in int32.
    """
    largest_acc = int(np.max(accumulator_bound, initial=1))
    for fraction_bits in range(8, -1, -1):
        real = multiplier * 2.0**fraction_bits
        pre_shift = 0
        while np.abs(real).max() >= 0.499 * 2**pre_shift:
            pre_shift += 1
        rounded = np.rint(bias * 2.0**fraction_bits + 0.5 * (fraction_bits > 0) * 2**fraction_bits)
        if np.abs(rounded[-1]).max() > 32767 or pre_shift > 8:
            continue
        if largest_acc << pre_shift > INT32_MAX:
            continue
        delta = rounded - rounded[-1]
        delta_shift = 0
        while np.abs(np.rint(delta / 2**delta_shift)).max() > 127:
            delta_shift += 1
        if delta_shift > 8:
            continue
        wide = real * 2.0 ** (32 - pre_shift)
        shift = 0
        while np.abs(np.rint(wide / 2**shift)).max() > 32767:
            shift += 1
        return Requant(
            multiplier=np.rint(wide / 2**shift).astype(np.int16),
            multiplier_shift=shift,
            bias=rounded[-1].astype(np.int16),
            bias_delta=np.rint(delta / 2**delta_shift).astype(np.int8),
            bias_delta_shift=delta_shift,
            fraction_bits=fraction_bits,
            pre_shift=pre_shift,
        )
    raise UserError(
        "requantization",
        "multiplier out of range",
        got=float(np.abs(multiplier).max()),
        expected="a product with the accumulators that fits int32",
        action="Use a larger output scale",
    )
