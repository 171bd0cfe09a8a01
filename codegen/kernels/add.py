"""Elementwise addition, where no convolution takes it into its epilogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.add import Add
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import ELEMENTWISE, repeat_overlap
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.repeat import Repeat, repeat
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

ELEMENT = cost.number("add", "element")
"""Instructions of an element."""


@dataclass(frozen=True)
class AddArgs(Args):
    """Literal arguments of ``nn_add``."""

    repeat: Repeat
    """How the second operand is repeated."""
    second: int
    """Elements of the second operand."""
    shift: int
    act_min: int
    act_max: int

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of both operands."""
        return (self.repeat.elements, self.second)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        return self.repeat.elements


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
    whole, part = graph.shapes(op.inputs)
    order = repeat(whole, part)
    level_cost = LevelCost(0, cost.cycles(order.elements * ELEMENT), 12)
    return Draft(
        args=AddArgs(order, prod(part), op.shift, op.act_min, op.act_max),
        contents=(
            Content("add_multiplier", op.multiplier, 4, by_level=True),
            Content("add_offset", op.offset, 4),
        ),
        levels=(level_cost,) * len(graph.levels),
        overlaps=(ELEMENTWISE, repeat_overlap(order)),
    )


KERNELS = (AddKernel(),)
