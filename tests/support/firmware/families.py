"""Families of random cases for the kernels: what every set of them is compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.support.firmware import contracts
from tests.support.firmware.cases import (
    Case,
    concatenation,
    depthwise,
    multiplication,
    nested,
    normalization,
    padding,
    paired,
    rearrangement,
    soft,
    table,
    weighted,
)
from tests.support.firmware.contracts import contract
from tests.support.firmware.oracle import NEVER, Shape, seen
from tests.support.firmware.window_cases import pool, resize

SEED = 20240601

# Odd on purpose: primes, 1, widths below and not divisible by a tile, stride beyond the kernel,
# asymmetric padding (bottom and right follow from the output extents), padding wider than the map.
CONVOLUTIONS = (
    Shape(5, 7, 3, 5, 7, 5, 3, 3, 1, 1, 1, 1),
    Shape(7, 5, 5, 4, 3, 7, 3, 3, 2, 2, 1, 1),
    Shape(7, 11, 6, 4, 6, 3, 3, 3, 2, 2, 0, 0),
    Shape(1, 13, 7, 1, 13, 11, 1, 1, 1, 1, 0, 0),
    Shape(4, 17, 1, 4, 17, 2, 3, 5, 1, 1, 1, 2),
    Shape(5, 3, 13, 5, 3, 4, 5, 1, 1, 1, 2, 0),
    Shape(9, 9, 4, 3, 3, 5, 2, 2, 3, 3, 0, 0),
    Shape(3, 3, 8, 1, 1, 3, 3, 3, 1, 1, 0, 0),
    Shape(2, 2, 5, 4, 6, 3, 5, 7, 1, 1, 3, 5),
    Shape(6, 10, 9, 5, 8, 2, 3, 3, 1, 1, 1, 0),
)


REPEATED = (
    *(((1, 1, count), (1, 1, count)) for count in (1, 2, 3, 4, 5, 61, 256)),
    *(((3, 5, c), (1, 1, c)) for c in (1, 4, 7)),
    *(((3, 5, c), (3, 5, 1)) for c in (1, 4, 7)),
    *(((3, 5, 7), part) for part in ((1, 1, 1), (3, 1, 7), (1, 5, 7), (3, 1, 1), (1, 5, 1))),
)
"""A first operand and a second one that has 1 in place of extents."""


PRODUCTS = (
    *((1, 1, 1, depth) for depth in (1, 2, 3, 4, 5)),
    *((2, rows, 4, 7) for rows in (1, 2, 3)),
    *((1, 3, columns, 8) for columns in (2, 3, 5, 7)),
    (3, 17, 13, 16),
    (2, 5, 11, 61),
    (1, 2, 3, 1601),
)
"""Batches, rows, columns and depth of matrices."""


def nested_cases(rng: np.random.Generator) -> list[Case]:
    """Nested convolutions and linear layers: all groups, all tiles, three levels."""
    cases = []
    densities = (0.1, 0.35, 0.8)
    for index, s in enumerate(CONVOLUTIONS):
        for group in (1, 2, 4):
            tile = 1 + (index + 3 * group) % min(8 if group == 1 else 6, s.out_w)
            residual = (index + group) % 2 == 0
            cases.append(nested(rng, s, group, tile, densities, residual=residual))
    wide = Shape(2, 19, 5, 2, 19, 3, 3, 3, 1, 1, 1, 1)
    for group, tiles in ((1, range(1, 9)), (2, range(1, 7)), (4, range(1, 7))):
        cases += [nested(rng, wide, group, tile, densities) for tile in tiles]
    # Wide tiles are stored by scheduled code where only int8 clamps, with and without a shift.
    for tile in (4, 5, 6):
        s = Shape(2, 2 * tile + 1, 4, 2, 2 * tile + 1, 3, 1, 3, 1, 1, 0, 1)
        for residual, plain in ((False, True), (True, True), *((True, False), (False, False)) * 3):
            cases.append(nested(rng, s, 4, tile, (0.4,), residual=residual, plain=plain))
    for group in (1, 2, 4):
        cases.append(nested(rng, Shape(1, 1, 37, 1, 1, 11), group, 1, densities, linear=True))
        cases.append(nested(rng, Shape(1, 1, 1, 1, 1, 1), group, 1, (1.0,), linear=True))
    return cases


def corner_cases(rng: np.random.Generator) -> list[Case]:
    """Empty segments and levels, gaps that need dummies, offsets out of a load's reach, plain."""
    cases = []
    for group in (1, 2, 4):
        # 601 channels: single groups far apart, and level 1 empty in most rows.
        s = Shape(2, 4, 601, 2, 4, 3, 1, 1, 1, 1)
        level_map = np.full((3, 1, 1, -(-601 // group)), NEVER, np.int64)
        level_map[0, 0, 0, -1] = 0
        level_map[1, 0, 0, 128] = 2
        level_map[1, 0, 0, 127] = 0
        level_map[2, 0, 0, 149] = 1
        cases.append(nested(rng, s, group, 4, (0.0, 0.1, 0.2), level_map=level_map))
        nothing = np.full((3, 1, 1, -(-601 // group)), NEVER, np.int64)
        cases.append(nested(rng, s, group, 3, (0.0, 0.0), level_map=nothing))
        # Columns 2 * 3 * 420 elements apart: beyond 4095 bytes from the third on.
        far = Shape(3, 8, 419, 1, 3, 2, 3, 3, 2, 2, 0, 0)
        cases.append(nested(rng, far, group, 3, (0.2, 0.5)))
        cases.append(nested(rng, far, group, 2, (0.2, 0.5)))
        usual = Shape(5, 9, 8, 5, 9, 6, 3, 3, 1, 1, 1, 1)
        cases.append(nested(rng, usual, group, 4, (0.25, 1.0), plain=True, residual=True))
    far = Shape(3, 8, 419, 1, 3, 3, 3, 3, 2, 2, 0, 0)
    cases.append(weighted(rng, "DENSE_CONV", far, tile=2))
    cases.append(weighted(rng, "DENSE_LINEAR", Shape(1, 1, 1601, 1, 1, 5)))
    return cases


def dense_cases(rng: np.random.Generator) -> list[Case]:
    """Dense, grouped and depthwise convolutions and linear layers."""
    cases = []
    for index, s in enumerate(CONVOLUTIONS):
        for tile in range(1, min(3, s.out_w) + 1):
            residual = (index + tile) % 2 == 0
            cases.append(weighted(rng, "DENSE_CONV", s, tile=tile, residual=residual, levels=2))
        c = s.in_c
        same = Shape(*(s.in_h, s.in_w, c, s.out_h, s.out_w, c, s.kernel_h, s.kernel_w),
                     *(s.stride_h, s.stride_w, s.pad_top, s.pad_left))  # fmt: skip
        cases.append(weighted(rng, "DEPTHWISE_CONV", same, groups=c, levels=2, tile=1 + index % 3))
    grouped = Shape(5, 7, 6, 5, 7, 9, 3, 3, 1, 1, 1, 1)
    cases.append(weighted(rng, "GROUPED_CONV", grouped, groups=3, residual=True, levels=2))
    cases.append(weighted(rng, "GROUPED_CONV", Shape(4, 4, 3, 2, 2, 6, 3, 3, 2, 2, 1, 1), groups=3))
    for count, out in ((1, 1), (13, 7), (64, 10), (100, 3)):
        cases.append(weighted(rng, "DENSE_LINEAR", Shape(1, 1, count, 1, 1, out), levels=2))
    # First layers whose odd channels need no padding: patches start on words all the same.
    cases.append(weighted(rng, "DENSE_CONV", Shape(13, 9, 1, 7, 5, 5, 10, 4, 2, 2, 4, 1), tile=3))
    cases.append(weighted(rng, "DENSE_CONV", Shape(9, 11, 3, 4, 5, 4, 3, 3, 2, 2, 0, 0), tile=3))
    for passes in range(1, 15):  # of four elements: spelt out, then looped with 1 to 4 left over
        count = 4 * passes - 2 * (passes % 2)
        pointwise = Shape(1, 7, count, 1, 7, 3 + passes % 2, 1, 1)
        cases.append(weighted(rng, "DENSE_CONV", pointwise, tile=3, plain=True))
        cases.append(weighted(rng, "DENSE_CONV", Shape(1, 4, count, 1, 4, 2, 1, 1), tile=2))
        cases.append(weighted(rng, "DENSE_LINEAR", Shape(1, 1, count, 1, 1, 4)))
    return cases


def depthwise_cases(rng: np.random.Generator) -> list[Case]:
    """Kernels, strides, bands and channel counts on either side of what the fast loops do."""
    cases = []
    for index, (kernel, stride) in enumerate(((3, 1), (3, 2), (5, 1), (5, 2), (3, 3), (4, 1))):
        for c, height, width in ((4, 9, 13), (8, 12, 8), (7, 5, 2), (23, 4, 11)):
            out_h, out_w = -(-height // stride), -(-width // stride)
            pad = (kernel - 1) // 2
            s = Shape(height, width, c, out_h, out_w, c, kernel, kernel, stride, stride, pad, pad)
            band = out_h if (index + c) % 3 == 0 else 2 + index % 3
            plain = c % 2 == 0 or index < 2
            cases.append(weighted(rng, "DEPTHWISE_CONV", s, groups=c, tile=band, plain=plain))
    # Planes and rows beyond the reach of a load's immediate offset.
    for s in (
        Shape(3, 700, 4, 3, 700, 4, 3, 3, 1, 1, 1, 1),
        Shape(37, 36, 5, 37, 36, 5, 3, 3, 1, 1, 1, 1),
        Shape(5, 6, 1100, 5, 6, 1100, 3, 3, 1, 1, 1, 1),
        Shape(4, 4, 8, 4, 4, 8, 3, 3, 1, 1, 0, 2),
    ):
        cases.append(weighted(rng, "DEPTHWISE_CONV", s, groups=s.in_c, tile=s.out_h, plain=True))
    return cases


def channel_cases(rng: np.random.Generator) -> list[Case]:
    """Depthwise layers of which levels lack channels: whole quads, parts of them, single ones."""
    cases = []
    for index, (kernel, stride) in enumerate(((3, 1), (3, 2), (5, 1), (5, 2), (4, 1))):
        for c, height, width in ((13, 7, 5), ((17, 4, 11), (4, 9, 13), (1, 5, 3))[index % 3]):
            out_h, out_w = -(-height // stride), -(-width // stride)
            pad = (kernel - 1) // 2
            s = Shape(height, width, c, out_h, out_w, c, kernel, kernel, stride, stride, pad, pad)
            first = rng.choice([0, 1, 2, NEVER], c)
            first[4:8] = rng.choice([1, 2, NEVER], len(first[4:8]))  # level 0 has none of a quad
            first[8:12] = 0  # and all of another
            band = out_h if (index + c) % 2 else min(out_h, 2 + index % 2)
            plain = (index + c) % 3 == 0
            cases.append(depthwise(rng, s, band, first, levels=3, plain=plain))
    pointwise = Shape(1, 13, 7, 1, 13, 7, 1, 1, 1, 1, 0, 0)
    padded = Shape(2, 2, 5, 4, 6, 5, 5, 7, 1, 1, 3, 5)
    cases.append(depthwise(rng, pointwise, 1, np.full(7, NEVER)))
    cases.append(depthwise(rng, padded, 4, np.zeros(5, np.int64)))
    cases.append(depthwise(rng, padded, 2, np.arange(5)))
    return cases


NO_PADDING = (0, 0, 0, 0)


def adaptive(in_h: int, in_w: int, c: int, out_h: int, out_w: int) -> Shape:
    """Return the shape of an adaptive pool."""
    largest = [
        max(len(seen(i, extent, out, 0, 0, 0)) for i in range(out))
        for extent, out in ((in_h, out_h), (in_w, out_w))
    ]
    return Shape(in_h, in_w, c, out_h, out_w, c, *largest, 0, 0)


LOOPS = (
    ((1, 1),),
    ((61, 1),),
    ((7, 13), (3, 1)),  # channels of a map
    ((5, -13), (7, 1)),  # rows upside down
    ((5, 21), (7, -3), (3, 1)),  # columns from right to left
    ((5, 1), (7, 5)),  # a matrix turned over
    ((11, 6), (3, 1), (2, 3)),  # channels shuffled
    ((3, 10), (2, 0), (5, 2), (2, 0), (2, 1)),  # each position twice in both directions
    ((3, 0), (5, 0)),  # one element
    ((2, 60), (3, 2), (2, 30), (5, 6), (3, -1), (2, 0)),
    ((2, 1), (3, 2), (5, 6), (1, 7), (2, 30), (3, 60)),
)
"""Extents and strides."""
GAPS = (
    (1, 1, 1, 0, 0, 0, 0, 0, 1),
    (5, 1, 21, 23, 1, 0, 0, 2, 46),
    (3, 5, 2, 0, 0, 1, 2, 0, 0),
    (2, 3, 17, 5, 20, 0, 3, 40, 7),
)
WORD_GAPS = (
    (1, 1, 4, 8, 0, 0, 0, 0, 0),
    (5, 1, 36, 44, 4, 0, 0, 4, 44),
    (3, 5, 16, 0, 0, 8, 8, 0, 4),
)
"""Of nn_gaps."""
WORD_LOOPS = (
    ((4, 1),),
    ((5, 28), (16, 1)),
    ((3, 48), (2, 0), (3, 16), (3, 0), (12, 1)),
    ((5, -20), (20, 1)),
    ((2, 0), (44, 1)),
)


def elementwise_cases(rng: np.random.Generator) -> list[Case]:
    """Additions, pools, softmax, lookups and concatenations."""
    cases = [
        paired(rng, kernel, whole, part)
        for kernel in ("add", "mul")
        for whole, part in REPEATED
        for _ in range(2)
    ]
    for kind in ("MAX_POOL", "AVG_POOL"):
        for c in (1, 3, 4, 8, 13):
            cases.append(pool(rng, kind, Shape(7, 5, c, 3, 2, c, 3, 2, 2, 2, 0, 0)))
            cases.append(pool(rng, kind, Shape(5, 7, c, 5, 7, c, 3, 3, 1, 1, 1, 1)))
            cases.append(pool(rng, kind, Shape(8, 8, c, 1, 1, c, 8, 8, 1, 1, 0, 0)))
            cases.append(pool(rng, kind, Shape(9, 9, c, 2, 2, c, 2, 2, 5, 5, 0, 0)))
            # Adaptive windows: more outputs than elements, overlapping ones, one axis sliding.
            cases.append(pool(rng, kind, adaptive(2, 3, c, 7, 5), NO_PADDING))
            cases.append(pool(rng, kind, adaptive(7, 5, c, 3, 4), NO_PADDING))
            mixed = Shape(7, 5, c, 5, 3, c, 2, 3, 0, 2, 0, 1)
            cases.append(pool(rng, kind, mixed, (0, 1, 0, 0)))
        # More elements than 16-bit halves can add up.
        cases.append(pool(rng, kind, Shape(17, 19, 5, 1, 1, 5, 17, 19)))
        cases.append(pool(rng, kind, Shape(64, 64, 1, 1, 1, 1, 64, 64)))
        cases.append(pool(rng, kind, adaptive(33, 31, 5, 2, 2), NO_PADDING))
    for counted in (NO_PADDING, (1, 1, 1, 1), (0, 2, 1, 0)):  # windows reach beyond what is counted
        cases.append(pool(rng, "AVG_POOL", Shape(6, 7, 5, 4, 5, 5, 3, 3, 2, 2, 1, 2), counted))
    cases += [
        soft(rng, 5, c, gain) for c, gain in ((1, 131_000), (7, 1), (512, 130_560), (17, 997))
    ]
    cases += [soft(rng, p, c) for p, c in ((1, 1), (1, 10), (7, 3), (3, 101), (1, 1024))]
    sizes = ((1, 1, 1), (1, 61, 7), (5, 4, 8), (7, 3, 13), (11, 16, 2), (2, 5, 9))
    cases += [concatenation(rng, *numbers) for numbers in sizes]
    sizes = ((1, 4, 148), (5, 4, 8), (3, 16, 20), (7, 64, 12), (2, 76, 16))
    cases += [concatenation(rng, *numbers, words=True) for numbers in sizes]
    sets = (
        (1, 1, 1, 1),
        (7, 1, 1, 13),
        (1, 35, 3, 4),
        (1, 35, 7, 1),
        (2, 5, 2, 61),
        (1, 1024, 1, 64),
    )
    cases += [normalization(rng, *numbers) for numbers in sets for _ in range(4)]
    for sizes in PRODUCTS:
        cases += [multiplication(rng, sizes, by_columns) for by_columns in (0, 1) for _ in range(2)]
    cases += [table(rng, count) for count in (1, 2, 3, 4, 5, 61, 256)]
    sizes = ((3, 5, 4, 6, 10), (1, 7, 3, 1, 14), (5, 4, 2, 3, 9), (2, 1, 13, 7, 1), (1, 1, 1, 3, 2))
    for align_corners in (0, 1):
        for in_h, in_w, c, out_h, out_w in sizes:
            cases.append(resize(rng, Shape(in_h, in_w, c, out_h, out_w, c), align_corners))
    cases += [rearrangement(rng, *loops) for loops in LOOPS]
    cases += [padding(rng, *sizes) for sizes in GAPS]
    cases += [padding(rng, *sizes, words=True) for sizes in WORD_GAPS]
    return cases + [rearrangement(rng, *loops, words=True) for loops in WORD_LOOPS]


def window(rng: np.random.Generator, in_c: int, out_c: int) -> Shape:
    """Return small extents with any kernel, stride and padding that leave an output."""
    in_h, in_w, out_h, out_w = (int(n) for n in rng.integers(1, 8, 4))
    kernel = [int(n) for n in rng.integers(1, 6, 2)]
    pads = [int(rng.integers(0, extent)) for extent in kernel]
    strides = [int(n) for n in rng.integers(1, 4, 2)]
    return Shape(in_h, in_w, in_c, out_h, out_w, out_c, *kernel, *strides, *pads)


def drawn(rng: np.random.Generator, kernel: str) -> Case:
    """Return a case whose numbers are drawn from what the kernel's contract calls legal."""
    in_c, out_c = (int(n) for n in rng.integers(1, 12, 2))
    promised, s = contract(kernel), window(rng, in_c, out_c)
    linear = Shape(1, 1, in_c, 1, 1, out_c)
    each = Shape(*(in_c if name in ("in_c", "out_c") else n for name, n in vars(s).items()))

    def draw(name: str, shape: Shape = s) -> int:
        return promised.draw(name, rng, vars(shape))

    def any_pool() -> tuple[Shape, tuple[int, int, int, int] | None]:
        if rng.integers(2):
            return adaptive(s.in_h, s.in_w, in_c, s.out_h, s.out_w), NO_PADDING
        top, left = (int(rng.integers(0, pad + 1)) for pad in (s.pad_top, s.pad_left))
        return each, None if rng.integers(2) else (top, left, 0, 0)

    whole = (s.out_h, s.out_w, in_c)
    operands = whole, tuple(n if rng.integers(2) else 1 for n in whole)
    residual, plain = bool(rng.integers(2)), bool(rng.integers(2))
    both = {"residual": residual, "plain": plain}
    make: dict[str, Callable[[], Case]] = {
        "add": lambda: paired(rng, "add", *operands),
        "avg_pool": lambda: pool(rng, "AVG_POOL", *any_pool()),
        "bilinear": lambda: resize(
            rng, Shape(s.in_h, s.in_w, in_c, s.out_h, s.out_w, in_c), draw("align_corners")
        ),
        "concat": lambda: concatenation(
            rng, s.out_h, in_c * (align := draw("align")), out_c * align, words=align == 4
        ),
        "dense_conv": lambda: weighted(rng, "DENSE_CONV", s, tile=draw("tile"), **both),
        "dense_linear": lambda: weighted(rng, "DENSE_LINEAR", linear, plain=plain),
        "depthwise_conv": lambda: depthwise(
            rng, each, draw("band"), rng.choice([0, 1, NEVER], in_c), plain=plain
        ),
        "grouped_conv": lambda: weighted(
            rng, "GROUPED_CONV", replace(s, in_c=3 * in_c, out_c=3 * out_c), groups=3, **both
        ),
        "lookup": lambda: table(rng, in_c),
        "matmul": lambda: multiplication(
            rng, (int(rng.integers(1, 4)), s.out_h, out_c, in_c), draw("by_columns")
        ),
        "max_pool": lambda: pool(rng, "MAX_POOL", any_pool()[0]),
        "mul": lambda: paired(rng, "mul", *operands),
        "nested_conv": lambda: nested(rng, s, draw("group"), draw("tile"), (0.3, 0.7), **both),
        "nested_linear": lambda: nested(
            rng, linear, draw("group"), 1, (0.3, 0.7), linear=True, plain=plain
        ),
        "pad": lambda: padding(rng, s.in_h, s.in_w, in_c, *(int(n) for n in rng.integers(0, 7, 6))),
        "rearrange": lambda: rearrangement(
            rng, *((int(rng.integers(1, 5)), int(rng.integers(-9, 10))) for _ in range(6))
        ),
        "normalize": lambda: normalization(rng, s.out_h, s.out_w, in_c, out_c),
        "softmax": lambda: soft(rng, in_c, draw("channels")),
    }
    return make[kernel]()


def drawn_cases(rng: np.random.Generator) -> list[Case]:
    """Every kernel, its numbers from its contract."""
    return [drawn(rng, kernel) for kernel in contracts.names() for _ in range(8)]


FAMILIES: dict[str, Callable[[np.random.Generator], list[Case]]] = {
    "nested": nested_cases,
    "channels": channel_cases,
    "contract": drawn_cases,
    "corner": corner_cases,
    "dense": dense_cases,
    "depthwise": depthwise_cases,
    "elementwise": elementwise_cases,
}
