"""What the compiler has to know about an operator, and the registry it is looked up in.

A new operator is a dataclass in ``codegen/graph/ir.py``, one file in ``codegen/ops/`` that
registers a rule, and a kernel with its template. Every other module asks :func:`rule_of`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from codegen.graph.ir import Graph, Int8Array, Op, Shape, op_inputs
from codegen.program.lowering import Draft, Options

OpT = TypeVar("OpT", bound=Op)

Broken = tuple[str, object]
"""A broken rule: its text and the offending value."""


class OpRule(ABC, Generic[OpT]):
    """Everything the compiler asks about one kind of operator."""

    @abstractmethod
    def out_shape(self, op: OpT, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the output shape for the inputs' shapes, or None if ``op`` does not fix it.

        :meth:`check` then judges the declared shape (a reshape).
        """

    @abstractmethod
    def run(self, op: OpT, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Compute the output (n, h, w, c) from the inputs (n, h, w, c): the reference."""

    @abstractmethod
    def check(self, op: OpT, graph: Graph) -> Iterator[Broken]:
        """Yield every rule of docs/integer-contract.md that ``op`` breaks."""

    def macs(self, op: OpT, graph: Graph, level: int) -> int:
        """Return the multiply-accumulates on weights kept at ``level``; 0 without weights."""
        return 0

    @abstractmethod
    def lower(self, op: OpT, graph: Graph, options: Options) -> Draft | None:
        """Choose the kernel and fill in what it needs; None for an op that moves no data."""


_RULES: dict[type, OpRule[Any]] = {}


def register(op_type: type[OpT], rule: OpRule[OpT]) -> None:
    """Add the rule of ``op_type``; each op file calls this once when imported."""
    _RULES[op_type] = rule


def rule_of(op: Op) -> OpRule[Any]:
    """Return the rule of ``op``'s kind."""
    import codegen.ops  # noqa: F401  registers every rule on first use

    return _RULES[type(op)]


def input_shapes(graph: Graph, op: Op) -> tuple[Shape, ...]:
    """Return the shapes of the values ``op`` reads."""
    return tuple(graph.value(name).shape for name in op_inputs(op))
