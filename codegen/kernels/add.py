"""Elementwise addition, where no convolution takes it into its epilogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.add import Add
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import ELEMENTWISE, repeat_overlap
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.repeat import PairArgs, constant_contents, repeat, second
from codegen.program.call import LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

ELEMENT = cost.number("add", "element")
"""Instructions of an element."""


@dataclass(frozen=True)
class AddArgs(PairArgs):
    """Literal arguments of ``nn_add``."""


class AddKernel(Kernel):
    """Element by element."""

    name = "add"
    args = AddArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every addition."""
        if isinstance(op, Add):
            why = "not fused: no convolution of its own produces this sum"
            yield Candidate(self.name, lambda: _draft(op, graph), why)


def _draft(op: Add, graph: Graph) -> Draft:
    whole, part = op.shapes(graph)
    order = repeat(whole, part)
    level_cost = LevelCost(0, cost.cycles(order.elements * ELEMENT), 12)
    return Draft(
        args=AddArgs(order, second(op, part), op.shift, op.act_min, op.act_max),
        contents=(
            Content("add_multiplier", op.multiplier, 4, by_level=True),
            Content("add_offset", op.offset, 4),
            *constant_contents(op.constant),
        ),
        levels=(level_cost,) * len(graph.levels),
        overlaps=(ELEMENTWISE, repeat_overlap(order)),
    )


KERNELS = (AddKernel(),)
