"""The loops of a second operand that is repeated where it has one element."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from codegen.graph.ir import Int8Array, Shape
from codegen.graph.ops.common.pairs import Pair
from codegen.program.call import Args
from codegen.program.draft import Content


@dataclass(frozen=True)
class Repeat:
    """The order in which the elements of a second operand meet those of the first.

    Element ``(i * rows + j) * count + k`` of the first, i < blocks, j < rows, k < count, meets
    element ``i * block_step + j * row_step + k * step`` of the second.
    """

    blocks: int = 1
    rows: int = 1
    count: int = 1
    block_step: int = 0
    row_step: int = 0
    step: int = 0
    """1, or 0 where the elements of a row meet the same one."""

    @property
    def elements(self) -> int:
        """Return the elements of the first operand."""
        return self.blocks * self.rows * self.count


@dataclass(frozen=True)
class PairArgs(Args):
    """Literal arguments of a kernel that reads two operands, element by element."""

    repeat: Repeat
    """How the second operand is repeated."""
    second: int
    """Elements of the second operand; 0 of a constant, which lies in the weight image."""
    shift: int
    act_min: int
    act_max: int

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of the operands that are values."""
        return (self.repeat.elements, self.second) if self.second else (self.repeat.elements,)

    @property
    def out_elements(self) -> int:
        """Return the elements of the output."""
        return self.repeat.elements


def second(op: Pair, part: Shape) -> int:
    """Return the elements of a second operand of shape ``part``, 0 of a constant."""
    return 0 if op.constant is not None else prod(part)


def constant_contents(constant: Int8Array | None) -> tuple[Content, ...]:
    """Return the member of the image that holds ``constant``, if there is one."""
    return () if constant is None else (Content("constant", constant.reshape(-1), 1),)


def repeat(whole: Shape, part: Shape) -> Repeat:
    """Return how ``part`` is repeated over ``whole``, in as few loops as there can be."""
    stride, axes = 1, list[tuple[int, int]]()
    for extent, mine in zip(whole[::-1], part[::-1], strict=True):
        if extent > 1:
            axes.insert(0, (extent, stride if mine > 1 else 0))
        stride *= mine
    loops = list[tuple[int, int]]()
    for extent, step in axes:
        if loops and loops[-1][1] == extent * step:
            loops[-1] = (loops[-1][0] * extent, step)
        else:
            loops.append((extent, step))
    first, second, third = [(1, 0)] * (3 - len(loops)) + loops
    return Repeat(first[0], second[0], third[0], first[1], second[1], third[1])
