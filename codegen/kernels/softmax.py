"""Softmax over channels, by a table of exponentials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.softmax import Softmax
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import ELEMENTWISE
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

CHANNEL = cost.number("softmax", "channel")
"""Instructions of a channel at a position."""


@dataclass(frozen=True)
class SoftmaxArgs(Args):
    """Literal arguments of ``nn_softmax``."""

    positions: int
    channels: int
    gain: int | None
    """None where it depends on the level."""

    @property
    def needs_state(self) -> bool:
        """Return whether levels have gains of their own."""
        return self.gain is None

    @property
    def out_elements(self) -> int:
        """Return the elements of the output, and of each input."""
        return self.positions * self.channels


class SoftmaxKernel(Kernel):
    """Position by position."""

    name = "softmax"
    args = SoftmaxArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every softmax."""
        if isinstance(op, Softmax):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Softmax, graph: Graph) -> Draft:
    height, width, channels = graph.value(op.input).shape
    cycles = cost.cycles(prod((height, width, channels)) * CHANNEL)
    gain = op.gain[0] if len(set(op.gain)) == 1 else None
    own = () if gain else (Content("softmax_gain", np.array(op.gain, np.int32), 4),)
    cost_of_each = LevelCost(0, cycles, int(op.table.nbytes) + 4 * len(own))
    return Draft(
        args=SoftmaxArgs(height * width, channels, gain),
        contents=(*own, Content("table", op.table, 2)),
        levels=(cost_of_each,) * len(graph.levels),
        overlaps=(ELEMENTWISE,),
    )


KERNELS = (SoftmaxKernel(),)
