"""Table lookup, element by element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.lookup import ENTRIES, Lookup
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import ELEMENTWISE
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

ELEMENT = cost.number("lookup", "element")
"""Instructions of an element."""


@dataclass(frozen=True)
class LookupArgs(Args):
    """Literal arguments of ``nn_lookup``."""

    count: int
    """Elements."""
    is_shared: bool
    """Whether all levels read one table."""

    @property
    def needs_state(self) -> bool:
        """Return whether the level says which table is read."""
        return not self.is_shared

    @property
    def out_elements(self) -> int:
        """Return the elements of the output, and of each input."""
        return self.count


class LookupKernel(Kernel):
    """An element at a time, in place where its input dies."""

    name = "lookup"
    args = LookupArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every lookup."""
        if isinstance(op, Lookup):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Lookup, graph: Graph) -> Draft:
    count = prod(graph.value(op.output).shape)
    is_shared = len(op.table) == 1
    table = (
        Content("shared_lookup", op.table[0], 1)
        if is_shared
        else Content("lookup", op.table, 1, by_level=True)
    )
    cycles = cost.cycles(count * ELEMENT + cost.LAYER_START)
    return Draft(
        args=LookupArgs(count, is_shared),
        contents=(table,),
        levels=(LevelCost(0, cycles, ENTRIES),) * len(graph.levels),
        overlaps=(ELEMENTWISE,),
    )


KERNELS = (LookupKernel(),)
