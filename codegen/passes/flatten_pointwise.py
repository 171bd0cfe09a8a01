"""Give 1x1 convolutions a map whose width suits the kernels' tiles."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from codegen.graph.ir import Graph, Op, Requant, Shape, Value
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.reshape import Reshape
from codegen.passes.rewrite import fresh_name, with_ops

TILE = 4
"""Output columns most kernels compute at once."""

DENSE_TILES = {3: 4, 2: 3, 1: 2}
"""Relative work of the dense kernel's tiles by columns."""

SLACK = 1.03
"""A dense layer takes a narrower map for up to 3 % more work: the wider one needs more RAM."""

SCRATCH_BYTES = 2048
"""Patch buffer a wider row may take; longer rows only spread the cost of starting one."""


def flatten_pointwise(graph: Graph) -> Graph:
    """Return ``graph`` with 1x1, stride 1, unpadded, ungrouped convolutions on a better map.

    Such a layer computes each position alone, so its map (h, w) may be read as any (h', w') with
    h' * w' = h * w. Chosen is the w' whose tiles take the least work (for nested layers: waste the
    fewest columns in tiles of 4), among those the widest whose patch buffer stays within 2 KB.
    Reshapes around the layer express the view; they move no data.
    """
    taken = {value.name for value in graph.values} | {op.name for op in graph.ops}
    values = list(graph.values)
    ops: list[Op] = []
    for op in graph.ops:
        if not _is_pointwise(op):
            ops.append(op)
            continue
        assert isinstance(op, Conv2D)
        height, width, _ = graph.value(op.output).shape
        dense = op.group_level is None
        view = best_view(height, width, graph.value(op.input).shape[2], dense)
        if view == (height, width):
            ops.append(op)
            continue
        ops += _viewed(graph, op, view, values, taken)
    return with_ops(graph, ops, values)


def best_view(height: int, width: int, channels: int, dense: bool = False) -> tuple[int, int]:
    """Return the (h', w') to compute a pointwise layer on; ``channels`` are the input's."""
    positions = height * width
    widths = [count for count in range(1, positions + 1) if positions % count == 0]

    def work(candidate: int) -> int:
        row = _dense_work(candidate) if dense else -(-candidate // TILE)
        return positions // candidate * row

    def rank(candidate: int) -> tuple[bool, bool, int]:
        row_bytes = 2 * candidate * channels
        fits = row_bytes <= max(SCRATCH_BYTES, 2 * width * channels)
        mixed = dense and candidate % 3 != 0  # needs code for two tiles
        return not fits, mixed, -candidate if fits else candidate

    least = min(map(work, widths)) * (SLACK if dense else 1)
    best = min((candidate for candidate in widths if work(candidate) <= least), key=rank)
    return positions // best, best


def _dense_work(width: int) -> int:
    """Return the work of a row in tiles of three that ends in one tile of two, two, or one."""
    twos = 0 if width == 1 else -width % 3
    threes, ones = divmod(width - 2 * twos, 3)
    return DENSE_TILES[3] * threes + DENSE_TILES[2] * twos + DENSE_TILES[1] * ones


def _is_pointwise(op: Op) -> bool:
    return (
        isinstance(op, Conv2D)
        and op.weight.shape[1:3] == (1, 1)
        and op.stride == (1, 1)
        and not any(op.padding)
        and op.groups == 1
        and isinstance(op.requant, Requant)
    )


def _viewed(
    graph: Graph, op: Conv2D, view: tuple[int, int], values: list[Value], taken: set[str]
) -> list[Op]:
    """Return reshapes and the convolution on ``view``; new values are appended to ``values``."""
    ops: list[Op] = []

    def add_view(name: str, shape: Shape) -> str:
        before = graph.value(name)
        assert prod(before.shape) == prod(shape)
        viewed = fresh_name(taken, f"{name}_flat")
        values.append(replace(before, name=viewed, shape=shape, meaning="plain"))
        return viewed

    def read_view(name: str) -> str:
        viewed = add_view(name, (*view, graph.value(name).shape[2]))
        ops.append(Reshape(fresh_name(taken, f"{viewed}_view"), name, viewed))
        return viewed

    source = read_view(op.input)
    residual = op.residual
    if residual is not None:
        same = residual.input == op.input
        residual = replace(residual, input=source if same else read_view(residual.input))
    output = add_view(op.output, (*view, op.weight.shape[0]))
    ops.append(replace(op, input=source, output=output, residual=residual))
    ops.append(Reshape(fresh_name(taken, f"{output}_back"), output, op.output))
    return ops
