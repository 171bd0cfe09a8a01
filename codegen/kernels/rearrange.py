"""Rearrangement: up to six nested loops over runs of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from math import prod

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.rearrange import MAX_LOOPS, Loop, Rearrange, canonical
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Target

WORD = 4

BYTE = cost.number("rearrange", "byte")
"""Instructions of a byte of a contiguous run."""

SINGLE = cost.number("rearrange", "single")
"""Instructions of a byte that is read alone."""

RUN = cost.number("rearrange", "run")
"""Instructions of a run, more than those of its bytes."""


@dataclass(frozen=True)
class Loops:
    """The members of ``nn_loops``."""

    n0: int
    n1: int
    n2: int
    n3: int
    n4: int
    n5: int
    s0: int
    s1: int
    s2: int
    s3: int
    s4: int
    s5: int

    @staticmethod
    def of(loops: tuple[Loop, ...]) -> Loops:
        """Return ``loops`` with loops of one round around them."""
        loops = canonical(loops) or ((1, 1),)
        loops = ((1, 0),) * (MAX_LOOPS - len(loops)) + loops
        return Loops(*(extent for extent, _ in loops), *(stride for _, stride in loops))


@dataclass(frozen=True)
class RearrangeArgs(Args):
    """Literal arguments of ``nn_rearrange``."""

    needs_state = False

    loops: Loops
    count: int
    """Elements of the input."""
    offset: int

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of the input."""
        return (self.count,)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        return prod(astuple(self.loops)[:MAX_LOOPS])

    @property
    def in_words(self) -> bool:
        """Return whether every run begins and ends with a word, where both buffers do."""
        *starts, step = astuple(self.loops)[MAX_LOOPS:]
        sizes = (self.offset, self.loops.n5, *starts)
        return step == 1 and not any(size % WORD for size in sizes)


class RearrangeKernel(Kernel):
    """Run by run in the order of the output."""

    name = "rearrange"
    args = RearrangeArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every rearrangement."""
        if isinstance(op, Rearrange):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Rearrange, graph: Graph) -> Draft:
    loops = Loops.of(op.loops)
    args = RearrangeArgs(loops, prod(graph.value(op.input).shape), op.offset)
    runs = args.out_elements // loops.n5
    byte = BYTE if loops.s5 == 1 else SINGLE
    instructions = args.out_elements * byte + runs * RUN + cost.LAYER_START
    return Draft(
        args=args,
        contents=(),
        levels=(LevelCost(0, cost.cycles(instructions), 0),) * len(graph.levels),
    )


KERNELS = (RearrangeKernel(),)
