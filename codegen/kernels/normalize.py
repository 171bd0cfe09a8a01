"""Normalization by statistics of the values themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.normalize import Normalize
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Content, Draft, Overlap
from codegen.target.target import Target

ELEMENT = cost.number("normalize", "element")
"""Instructions of an element, read twice."""

SET = cost.number("normalize", "set")
"""Instructions of a set's reciprocal root."""


@dataclass(frozen=True)
class NormalizeArgs(Args):
    """Literal arguments of ``nn_normalize``."""

    blocks: int
    positions: int
    groups: int
    channels: int
    center: bool
    zero_points: tuple[int, int]

    @property
    def out_elements(self) -> int:
        """Return the elements of the output, and of the input."""
        return self.blocks * self.positions * self.groups * self.channels


class NormalizeKernel(Kernel):
    """Set by set, in place where its input dies."""

    name = "normalize"
    args = NormalizeArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every normalization."""
        if isinstance(op, Normalize):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Normalize, graph: Graph) -> Draft:
    before, after = graph.value(op.input), graph.value(op.output)
    height, width, channels = before.shape
    blocks, groups = height * width // op.positions, channels // op.channels
    points = before.zero_point, after.zero_point
    args = NormalizeArgs(blocks, op.positions, groups, op.channels, op.center, points)
    cycles = cost.cycles(args.out_elements * ELEMENT + blocks * groups * SET + cost.LAYER_START)
    return Draft(
        args=args,
        contents=(Content("normalize", op.table, 4, by_level=True),),
        levels=(LevelCost(0, cycles, 16),) * len(graph.levels),
        overlaps=(Overlap(0, args.out_elements),),
    )


KERNELS = (NormalizeKernel(),)
