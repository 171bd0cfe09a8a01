"""The contracts at the head of the kernels' headers, read as data.

``firmware/kernels/README.md`` says what the lines mean. Expressions are those of C, with ``^`` for
powers, whole division, and ``min``, ``max`` and ``round_up``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from codegen.program.draft import Overlap, round_up
from tests.support.commands import ROOT

FIRMWARE = ROOT / "firmware"
KERNELS = FIRMWARE / "kernels"
SHAPE = (
    *("in_h", "in_w", "in_c", "out_h", "out_w", "out_c"),
    *("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left"),
)
"""Members of nn_window_shape, which expressions name alone."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": lambda *values: reduce(np.minimum, values),
    "max": lambda *values: reduce(np.maximum, values),
    "round_up": round_up,
}
"""Of numbers and of arrays."""

STRUCTS = (
    "nn_window_shape",
    "nn_sides",
    "nn_loops",
    "nn_gaps",
    "nn_requant",
    "nn_requant_level",
    "nn_stream",
)
_LINE = re.compile(r"^ \* (\w+):\s+(\S.*)$")
_MORE = re.compile(r"^ \*\s{4,}(\S.*)$")
_TYPE = re.compile(r"(\w+)(?:\[(.+)\])?")
_ALIASING = re.compile(
    r"(\w+) is read (before|while) each (.+) of out, from (.+?)(?:, apart (.+))?"
)
_NODES = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant),
    *(ast.Load, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub),
    *(ast.Lt, ast.LtE, ast.Eq),
)


@cache
def _compiled(expression: str) -> CodeType:
    """Return an expression as Python's.

    Raises:
        ValueError: something that no contract may say.
    """
    tree = ast.parse(expression.replace("^", "**").replace("/", "//"), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise ValueError(f"{expression}: {ast.unparse(node)}")
    return compile(tree, expression, "eval")


def compute(expression: str, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression; names that ``values`` lacks are constants of headers.

    Where a value is an array, so is the result.
    """
    names = {**constants(), **values, **FUNCTIONS}
    return eval(_compiled(expression), {"__builtins__": {}}, names)


def evaluate(expression: str, values: Mapping[str, int]) -> int:
    """Return the value of an expression of numbers; see :func:`compute`."""
    return int(compute(expression, values))


@cache
def constants() -> dict[str, int]:
    """Return the numbers that the library's headers define."""
    found = {}
    for path in FIRMWARE.rglob("*.h"):
        for name, number in re.findall(r"^#define (NN_\w+) +(\d+)$", path.read_text(), re.M):
            found[name] = int(number)
    return found


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel."""

    name: str
    type: str
    """Without the ``_t``: int8, uint16, int32, nn_requant, ..."""
    count: str | None
    """Elements, of a buffer."""
    access: str | None
    """"read" or "written", of a buffer."""
    may_be_null: bool
    align_bytes: int
    values: str | None
    """Of a number: "LOW .. HIGH" or the legal ones, comma-separated."""

    @property
    def c_type(self) -> str:
        """Return how the prototype declares it."""
        if self.type in STRUCTS:
            return f"const {self.type} *"
        if self.count is None:
            return f"{self.type}_t "
        return f"{'const ' if self.access == 'read' else ''}{self.type}_t *"

    def legal(self, values: Mapping[str, int]) -> range | tuple[int, ...] | None:
        """Return the legal numbers; None where there is no list of them."""
        if self.values is None:
            return None
        if " .. " in self.values:
            low, high = (evaluate(end, values) for end in self.values.split(" .. "))
            return range(low, high + 1)
        return tuple(int(word) for word in self.values.split(", "))


@dataclass(frozen=True)
class Aliasing:
    """How the output may lie over an operand: the order of reads and writes.

    The output is written in units, upwards. ``y`` numbers them; a unit reads the operand from byte
    ``start`` on, all of it before the unit is written, or until it is.
    """

    operand: str
    until_written: bool
    unit: str
    start: str
    apart: str | None

    def overlap(self, values: Mapping[str, int], out_bytes: int, operand_bytes: int) -> Overlap:
        """Return the rule that follows: the least distance, and what distances are multiples of."""
        unit = evaluate(self.unit, values)
        units = -(-out_bytes // unit)
        starts = compute(self.start, {**values, "y": np.arange(units)}) + np.zeros(units, int)
        unread = np.minimum.accumulate(starts[::-1])[::-1]
        written = np.minimum((np.arange(units) + 1) * unit, out_bytes)
        if not self.until_written:
            unread, written = unread[1:], written[:-1]
        leads = (written - unread)[unread < operand_bytes]
        step = 1 if self.apart is None else evaluate(self.apart, values)
        return Overlap(max([-operand_bytes, *leads.tolist()]), step)


@dataclass(frozen=True)
class Contract:
    """What the head of ``nn_<kernel>.h`` says."""

    kernel: str
    path: Path
    arguments: tuple[Argument, ...]
    where: Mapping[str, str]
    """Names that expressions use, in order."""
    aliasing: tuple[Aliasing, ...]
    checks: tuple[str, ...]
    prototype: tuple[tuple[str, str], ...]
    """Type and name of every argument, as C declares them."""

    def known(self, given: Mapping[str, int]) -> dict[str, int]:
        """Return ``given`` and what follows from it."""
        values = dict(given)
        for name, expression in self.where.items():
            values[name] = evaluate(expression, values)
        return values

    def scratch_bytes(self, given: Mapping[str, int]) -> int:
        """Return the bytes of scratch; 0 for a kernel without."""
        return self.known(given).get("scratch_bytes", 0)

    def argument(self, name: str) -> Argument:
        """Return an argument; StopIteration if there is none of the name."""
        return next(argument for argument in self.arguments if argument.name == name)

    def elements(self, name: str, given: Mapping[str, int]) -> int:
        """Return the elements of a buffer."""
        count = self.argument(name).count
        assert count is not None, f"{name} is no buffer"
        return evaluate(count, self.known(given))

    def draw(self, name: str, rng: np.random.Generator, given: Mapping[str, int]) -> int:
        """Return a legal number for an argument, one of the ends in every third draw."""
        legal = self.argument(name).legal(given)
        assert legal is not None, f"{name} has no list of legal numbers"
        ends = (legal[0], legal[-1])
        return ends[rng.integers(2)] if rng.random() < 1 / 3 else legal[rng.integers(len(legal))]


def block(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of the comment at the head of ``path``, continued ones joined."""
    key, text = "", ""
    for line in path.read_text(encoding="utf-8").split("*/")[0].splitlines():
        begins, goes_on = _LINE.match(line), _MORE.match(line)
        if begins and begins[1] != "SPDX-License-Identifier":
            if key:
                yield key, text
            key, text = begins[1], begins[2]
        elif goes_on and key:
            text = f"{text} {goes_on[1]}"
        elif key:
            yield key, text
            key = ""
    if key:
        yield key, text


def _argument(name: str, text: str) -> Argument:
    """Return an argument; the first part is its type, words the grammar lacks are prose."""
    parts = text.split("; ")
    found = _TYPE.fullmatch(parts[0])
    assert found is not None, f"{name}: {parts[0]}"
    rest = parts[1:]
    numbers = [part for part in rest if re.search(r" \.\. |^-?\d+(, -?\d+)+$", part)]
    aligned = [int(part.removeprefix("align ")) for part in rest if part.startswith("align ")]
    return Argument(
        name=name,
        type=found[1],
        count=found[2],
        access=next((part for part in rest if part in ("read", "written")), None),
        may_be_null="or a literal NULL" in rest,
        align_bytes=aligned[0] if aligned else 1,
        values=numbers[0] if numbers else None,
    )


def _aliasing(text: str) -> Aliasing:
    found = _ALIASING.fullmatch(text)
    assert found is not None, text
    return Aliasing(found[1], found[2] == "while", found[3], found[4], found[5])


@cache
def contract(kernel: str) -> Contract:
    """Return the contract of ``nn_<kernel>``."""
    path = KERNELS / kernel / f"nn_{kernel}.h"
    found = re.search(rf"NN_INLINE void nn_{kernel}\(([^;]+)\);", path.read_text(encoding="utf-8"))
    assert found is not None, f"{path.name} declares no nn_{kernel}"
    declared = re.findall(r"([\w ]+[ *])(\w+)(?:,|$)", " ".join(found[1].split()))
    prototype = tuple((kind.lstrip(), name) for kind, name in declared)
    names = {name for _, name in prototype}
    lines = list(block(path))
    words = {"aliasing", "check", "fails", "speed"}
    return Contract(
        kernel=kernel,
        path=path,
        arguments=tuple(_argument(key, text) for key, text in lines if key in names),
        where={key: text for key, text in lines if key not in names | words},
        aliasing=tuple(_aliasing(text) for key, text in lines if key == "aliasing"),
        checks=tuple(text for key, text in lines if key == "check"),
        prototype=prototype,
    )


def names() -> tuple[str, ...]:
    """Return the kernels that have a folder."""
    return tuple(sorted(path.name for path in KERNELS.iterdir() if path.is_dir()))
