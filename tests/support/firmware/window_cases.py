"""Random cases for the kernels that slide windows without weights."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.support.firmware.cases import Case, Run, as_bytes, c_struct, int8
from tests.support.firmware.contracts import contract
from tests.support.firmware.oracle import Shape, avg_pool, bilinear, max_pool


def pool(
    rng: np.random.Generator,
    kind: str,
    s: Shape,
    counted: tuple[int, int, int, int] | None = None,
) -> Case:
    """Return a MAX_POOL or AVG_POOL, which counts padding up to ``counted``."""
    x = int8(rng, s.in_h, s.in_w, s.in_c)
    zero_point = contract("avg_pool").draw("zero_point", rng, {})
    expected = max_pool(x, s) if kind == "MAX_POOL" else avg_pool(x, s, zero_point, counted)
    sides = "ALL_PADDING" if counted is None else f"SIDES({', '.join(map(str, counted))})"
    head = () if kind == "MAX_POOL" else (sides, str(zero_point))
    run = Run(expected=expected, inputs=as_bytes(x), misalign_bytes=int(rng.integers(4)))
    values = dataclasses.asdict(s) | {"zero_point": zero_point}
    return Case(
        f"{kind} counted {counted} {s}", kind, (*head, c_struct("SHAPE", s)), (run,), values
    )


def resize(rng: np.random.Generator, s: Shape, align_corners: int) -> Case:
    """Return a bilinear resizing."""
    x = int8(rng, s.in_h, s.in_w, s.in_c)
    run = Run(
        expected=bilinear(x, s, align_corners),
        inputs=as_bytes(x),
        misalign_bytes=int(rng.integers(4)),
    )
    values = dataclasses.asdict(s) | {"align_corners": align_corners}
    arguments = (str(align_corners), c_struct("SHAPE", s))
    return Case(f"bilinear {align_corners} {s}", "BILINEAR", arguments, (run,), values)
