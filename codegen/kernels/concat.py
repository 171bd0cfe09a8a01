"""Concatenation: every input is copied to its place in the output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.concat import Concat
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import concat_overlap
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Target

WORD = 4

BYTE = cost.number("concat", "byte")
"""Instructions of a byte that is copied."""

RUN = cost.number("concat", "run")
"""Instructions of a run of bytes."""


@dataclass(frozen=True)
class Slice:
    """Where an input's part of each output run lies, in bytes."""

    size: int
    offset: int


@dataclass(frozen=True)
class ConcatArgs(Args):
    """Literal arguments of the calls of ``nn_concat``, one per input."""

    needs_state = False

    runs: int
    """Pieces that each input falls into: the positions, for channels."""
    step: int
    """Bytes of the output from run to run."""
    slices: tuple[Slice, ...]

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of every input."""
        return tuple(self.runs * part.size for part in self.slices)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        return self.runs * self.step

    def in_words(self, part: Slice) -> bool:
        """Return whether an input's runs are words, where both buffers begin with one."""
        return not any(size % WORD for size in (part.size, part.offset, self.step))


class ConcatKernel(Kernel):
    """Input by input, run by run."""

    name = "concat"
    args = ConcatArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every concatenation."""
        if isinstance(op, Concat):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Concat, graph: Graph) -> Draft:
    runs = prod(graph.value(op.output).shape[: op.axis])
    sizes = [prod(shape[op.axis :]) for shape in graph.shapes(op.inputs)]
    slices = tuple(map(Slice, sizes, accumulate(sizes, initial=0)))
    step = sum(sizes)
    instructions = runs * (step * BYTE + len(sizes) * RUN) + cost.LAYER_START
    return Draft(
        args=ConcatArgs(runs, step, slices),
        contents=(),
        levels=(LevelCost(0, cost.cycles(instructions), 0),) * len(graph.levels),
        overlaps=(concat_overlap(runs, sizes[0], step),),
    )


KERNELS = (ConcatKernel(),)
