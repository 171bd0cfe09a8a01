"""Padding: runs are copied, what is around them is filled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from math import prod

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.pad import Pad
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Target

WORD = 4

BYTE = cost.number("pad", "byte")
"""Instructions of a byte that is copied or filled."""

RUN = cost.number("pad", "run")
"""Instructions of a run, more than those of its bytes."""


@dataclass(frozen=True)
class Gaps:
    """The members of ``nn_gaps``."""

    rows: int
    runs: int
    size: int
    top: int
    left: int
    front: int
    back: int
    right: int
    bottom: int


@dataclass(frozen=True)
class PadArgs(Args):
    """Literal arguments of ``nn_pad``."""

    needs_state = False

    s: Gaps
    fill: int

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of the input."""
        return (self.s.rows * self.s.runs * self.s.size,)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        s = self.s
        row = s.left + s.runs * (s.front + s.size + s.back) + s.right
        return s.top + s.rows * row + s.bottom

    @property
    def in_words(self) -> bool:
        """Return whether every run begins and ends with a word, where both buffers do."""
        return not any(size % WORD for size in astuple(self.s)[2:])


class PadKernel(Kernel):
    """Run by run in the order of the output."""

    name = "pad"
    args = PadArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every padding."""
        if isinstance(op, Pad):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Pad, graph: Graph) -> Draft:
    source = graph.value(op.input)
    args = PadArgs(_gaps(op, source.shape), source.zero_point)
    runs = args.s.rows * args.s.runs
    instructions = args.out_elements * BYTE + runs * RUN + cost.LAYER_START
    return Draft(
        args=args,
        contents=(),
        levels=(LevelCost(0, cost.cycles(instructions), 0),) * len(graph.levels),
    )


def _gaps(op: Pad, shape: tuple[int, int, int]) -> Gaps:
    """Return the runs, of channels, of whole rows, or all of the input, whichever is longest."""
    h, w, c = shape
    (top, left, front), (bottom, right, back) = op.before, op.after
    pixel = front + c + back
    row = (left + w + right) * pixel
    sides = (top * row, left * pixel, front, back, right * pixel, bottom * row)
    if pixel != c:
        return Gaps(h, w, c, *sides)
    if row != w * c:
        return Gaps(h, 1, w * c, *sides)
    return Gaps(1, 1, prod(shape), *sides)


KERNELS = (PadKernel(),)
