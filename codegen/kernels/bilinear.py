"""Bilinear resizing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.bilinear import Bilinear
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.shape import WindowArgs, WindowShape
from codegen.program.call import LevelCost
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Target

ELEMENT = cost.number("bilinear", "element")
POSITION = cost.number("bilinear", "position")
"""Of an output position, whatever its channels."""


@dataclass(frozen=True)
class BilinearArgs(WindowArgs):
    """Literal arguments of ``nn_bilinear``."""

    needs_state = False

    align_corners: int


class BilinearKernel(Kernel):
    """Output by output in memory order, from four elements each."""

    name = "bilinear"
    args = BilinearArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every bilinear resizing."""
        if isinstance(op, Bilinear):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Bilinear, graph: Graph) -> Draft:
    before, after = graph.value(op.input).shape, graph.value(op.output).shape
    shape = WindowShape(*before, *after, 1, 1, 1, 1, 0, 0)
    height, width, channels = after
    instructions = height * width * (channels * ELEMENT + POSITION) + cost.LAYER_START
    return Draft(
        args=BilinearArgs(shape, op.align_corners),
        contents=(),
        levels=(LevelCost(0, cost.cycles(instructions), 0),) * len(graph.levels),
    )


KERNELS = (BilinearKernel(),)
