"""Random layers with maps of levels, and a map's stored bytes spelled bit by bit."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from codegen.graph.ir import NEVER, Int8Array, Uint8Array

Layer = tuple[Int8Array, int, Uint8Array, int]


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Draw weights, G, group levels and a level count; odd shapes, any density, long gaps."""
    group = draw(st.sampled_from([1, 2, 4]))
    out_c, kernel_h, kernel_w = draw(st.tuples(*[st.integers(1, 4)] * 3))
    in_c = draw(st.one_of(st.integers(1, 9), st.sampled_from([127, 128, 523, 1021])))
    levels = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kept = draw(st.sampled_from([0.0, 0.002, 0.02, 0.3, 1.0]))
    shape = (out_c, kernel_h, kernel_w, -(-in_c // group))
    level = rng.integers(0, levels, shape).astype(np.uint8)
    level[rng.random(shape) >= kept] = NEVER
    weight = rng.integers(-127, 128, (out_c, kernel_h, kernel_w, in_c)).astype(np.int8)
    weight[np.repeat(level == NEVER, group, axis=-1)[..., :in_c]] = 0
    return weight, group, level, levels


def code_values(present: np.ndarray, width: int) -> list[int]:
    """Return the codes of a map as docs/format.md, "deltas", tells them."""
    skipped = 2**width - 1
    values, gap = [], 0
    for bit in present.reshape(-1).tolist():
        if bit:
            values += [0] * (gap // skipped) + [gap % skipped + 1]
        gap = 0 if bit else gap + 1
    return values


def coded_with(present: np.ndarray, width: int) -> bytes:
    """Return the stored bytes of a map in codes of ``width`` bits."""
    text = "".join(f"{value:0{width}b}"[::-1] for value in code_values(present, width))
    return bytes([width]) + low_first(text)


def low_first(text: str) -> bytes:
    """Return bits, spaces ignored, from the low end of each byte, filled up with zeros."""
    plain = text.replace(" ", "")
    return bytes(int(plain[at : at + 8].ljust(8, "0")[::-1], 2) for at in range(0, len(plain), 8))
