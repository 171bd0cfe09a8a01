"""Product of two activations, matrix by matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.matmul import Matmul, bias
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Content, Draft, round_up
from codegen.target.target import Target

TILE = 3
"""``NN_MATMUL_TILE``: columns computed at once."""

MAC = cost.number("matmul", "mac")
"""Instructions of a multiply-accumulate, two rows and three columns at once."""

OUTPUT = cost.number("matmul", "output")
"""Instructions of an output, more than those of its sum."""

ELEMENT = cost.number("matmul", "element")
"""Instructions of an element of the second operand that is widened, rows as they lie."""

COLUMN = cost.number("matmul", "column")
"""The same where it is read by columns."""

COPY = cost.number("matmul", "copy")
"""Instructions of an element of the first operand where rows are no whole fours."""


@dataclass(frozen=True)
class MatmulArgs(Args):
    """Literal arguments of ``nn_matmul``."""

    batches: int
    rows: int
    columns: int
    depth: int
    by_columns: bool
    a_zero: int
    b_zero: int
    bias: int
    fraction_bits: int
    pre_shift: int
    act_min: int
    act_max: int

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of both operands."""
        each = self.batches * self.depth
        return (each * self.rows, each * self.columns)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        return self.batches * self.rows * self.columns


class MatmulKernel(Kernel):
    """Strip by strip of three columns, which are widened once."""

    name = "matmul"
    args = MatmulArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every product."""
        if isinstance(op, Matmul):
            yield Candidate(
                self.name, lambda: _draft(op, graph), "the only kernel for this operator"
            )


def _draft(op: Matmul, graph: Graph) -> Draft:
    (batches, rows, depth), y = graph.shapes(op.inputs)[0], graph.value(op.output)
    a_zero, b_zero = (graph.value(name).zero_point for name in op.inputs)
    columns, whole = y.shape[2], round_up(depth, 4)
    limits = (op.fraction_bits, op.pre_shift, op.act_min, op.act_max)
    args = MatmulArgs(
        *(batches, rows, columns, depth, op.by_columns, a_zero, b_zero),
        *(bias(y.zero_point, op.fraction_bits), *limits),
    )
    instructions = batches * round_up(rows, 2) * columns * (whole * MAC + OUTPUT)
    instructions += batches * columns * whole * (COLUMN if op.by_columns else ELEMENT)
    instructions += batches * rows * whole * COPY * (depth % 4 > 0)
    cycles = cost.cycles(instructions + cost.LAYER_START)
    level = LevelCost(op.macs(graph, 0), cycles, 4)
    return Draft(
        args=args,
        contents=(Content("matmul_multiplier", op.multiplier, 4),),
        levels=(level,) * len(graph.levels),
        scratch_bytes=round_up(2 * TILE * whole + (rows * whole if depth % 4 else 0), 8),
    )


KERNELS = (MatmulKernel(),)
