"""Fully connected layer with nested streams of groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from codegen.formats import nested
from codegen.graph.ir import Graph, Op
from codegen.graph.ops.linear import Linear
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.rows import (
    RowRules,
    linear_cycles,
    linear_draft,
    linear_shape,
    takes_rows,
)
from codegen.kernels.common.shape import WindowArgs
from codegen.kernels.common.storage import storage_candidate, storages
from codegen.kernels.common.tables import RequantConstants, requant_constants
from codegen.kernels.nested_conv import SEGMENT, TILES
from codegen.program.draft import Candidate
from codegen.target.target import Target

MORE = cost.by_number("nested_linear", "more", float)
"""More per output channel, and again per level above the first, by group size."""


@dataclass(frozen=True)
class NestedLinearArgs(WindowArgs):
    """Literal arguments of ``nn_nested_linear``."""

    requant: RequantConstants
    group: int
    """G."""


class NestedLinearKernel(Kernel):
    """The groups that a level keeps, row by row."""

    name = "nested_linear"
    args = NestedLinearArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take linear layers with levels."""
        if not (isinstance(op, Linear) and takes_rows(op)):
            return
        args = NestedLinearArgs(linear_shape(op), requant_constants(op, graph), op.group_size)
        levels, rules = len(graph.levels), _rules(op.group_size)
        for storage in storages(op, levels, nested.FORMAT, target):
            cycles = linear_cycles(op, storage, rules, levels - 1)
            draft = partial(linear_draft, op, graph, storage, rules, args)
            yield storage_candidate(self.name, op, storage, cycles, draft)


def _rules(group: int) -> RowRules:
    """Return what a row costs: what the convolution's P = 1 costs."""

    def more(out_c: int, in_c: int, level: int) -> float:
        return out_c * MORE[group] * (1 + level)

    return RowRules(TILES[group][1], SEGMENT, more)


KERNELS = (NestedLinearKernel(),)
