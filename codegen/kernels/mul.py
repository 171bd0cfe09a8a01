"""Elementwise multiplication."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.mul import Mul
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import ELEMENTWISE, repeat_overlap
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.repeat import PairArgs, constant_contents, repeat, second
from codegen.program.call import LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

ELEMENT = cost.number("mul", "element")
"""Instructions of an element."""

ROW = cost.number("mul", "row")
"""Instructions of a row of elements, whose factors begin anew."""


@dataclass(frozen=True)
class MulArgs(PairArgs):
    """Literal arguments of ``nn_mul``."""

    zero_points: tuple[int, int]
    """Of both operands."""


class MulKernel(Kernel):
    """Element by element."""

    name = "mul"
    args = MulArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every multiplication."""
        if isinstance(op, Mul):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Mul, graph: Graph) -> Draft:
    whole, part = op.shapes(graph)
    order = repeat(whole, part)
    rows = order.blocks * order.rows
    cycles = cost.cycles(order.elements * ELEMENT + rows * ROW + cost.LAYER_START)
    return Draft(
        args=MulArgs(
            *(order, second(op, part), op.shift, op.act_min, op.act_max), op.zero_points(graph)
        ),
        contents=(
            Content("mul_multiplier", op.multiplier, 4),
            Content("mul_offset", op.offset, 4),
            *constant_contents(op.constant),
        ),
        levels=(LevelCost(0, cycles, 8),) * len(graph.levels),
        overlaps=(ELEMENTWISE, repeat_overlap(order)),
    )


KERNELS = (MulKernel(),)
