"""Regression: numbers in the units of the training data, as ``nn_numbers`` gives them.

``number = offset + (q - zero_point) * step`` in int32, offset and step rounded to units of
``2 ** -fraction_bits``: as fine as leaves no sum larger than 2^30.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Int32Array
from codegen.tasks._task import Answer, Outcome, Targets, Task, flat, names_of

_LARGEST = 2.0**30
_MOST_BITS = 30


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """The tables of a network's answers."""

    steps: Int32Array
    offsets: Int32Array
    fraction_bits: int


class Regression(Task):
    """One output of one position: a number each."""

    fitting = "one output 1x1xNUMBERS, with as many settings 'step' and 'offset'"
    metric = "R2"
    names_word = "Numbers"
    firmware = ("nn_numbers",)

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output is a list with a step and an offset for each number."""
        if len(graph.outputs) != 1 or graph.only_output.shape[:2] != (1, 1) or graph.task is None:
            return False
        count = graph.only_output.shape[2]
        steps, offsets = graph.task.numbers("step"), graph.task.numbers("offset")
        if len(steps) != count or len(offsets) != count:
            return False
        return _largest(steps, offsets) <= _LARGEST * 2.0**_MOST_BITS

    def constants(self, graph: Graph) -> Mapping[str, Any]:
        """Return the numbers of nn_regression."""
        tables = fixed_point(graph)
        return {
            "steps": tables.steps,
            "offsets": tables.offsets,
            "fraction_bits": tables.fraction_bits,
        }

    def ram_bytes(self, graph: Graph) -> Mapping[str, int]:
        """Return the bytes of what nn_numbers writes."""
        return {"numbers": 4 * graph.only_output.shape[2]}

    def answer(self, outcome: Outcome) -> Answer:
        """Return the numbers of one sample."""
        (found,) = in_units(outcome)
        text = ", ".join(f"{x:.4g}" for x in found)
        return Answer(outcome.level, flat(outcome.outputs), found, text)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return per level the numbers by name."""
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "numbers": dict(zip(_names(graph), answer.real.tolist(), strict=True)),
            }
            for answer in answers
        ]

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return the numbers of every sample as a device has them, (n, numbers)."""
        return numbers(outcome)

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the mean share of the targets' variance that is explained, at least 0."""
        return max(float(_explained(in_units(outcome), targets).mean()), 0.0)

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return the mean absolute error and R2 of every number."""
        if targets is None:
            return {"rows": None}
        found = in_units(outcome)
        errors, explained = np.abs(found - targets).mean(axis=0), _explained(found, targets)
        return {
            "rows": [
                {
                    "number": name,
                    "mean_absolute_error": float(errors[index]),
                    "r2": float(explained[index]),
                }
                for index, name in enumerate(_names(outcome.graph))
            ]
        }


def fixed_point(graph: Graph) -> FixedPoint:
    """Return the tables of :func:`numbers`."""
    assert graph.task is not None
    steps, offsets = graph.task.numbers("step"), graph.task.numbers("offset")
    room = _LARGEST / max(_largest(steps, offsets), 1e-300)
    bits = int(np.clip(np.floor(np.log2(room)), -_MOST_BITS, _MOST_BITS))
    tables = [np.rint(np.array(x) * 2.0**bits).astype(np.int32) for x in (steps, offsets)]
    return FixedPoint(tables[0], tables[1], bits)


def numbers(outcome: Outcome) -> Int32Array:
    """Return the answers (n, numbers) as a device gives them."""
    tables = fixed_point(outcome.graph)
    output = outcome.outputs[0]
    away = output.reshape(len(output), -1).astype(np.int32) - outcome.graph.only_output.zero_point
    found: Int32Array = tables.offsets + away * tables.steps
    return found


def in_units(outcome: Outcome) -> NDArray[np.float64]:
    """Return the answers (n, numbers) in the units of the training data."""
    return np.ldexp(numbers(outcome).astype(np.float64), -fixed_point(outcome.graph).fraction_bits)


def _largest(steps: Sequence[float], offsets: Sequence[float]) -> float:
    """Return what no sum exceeds."""
    return max(abs(offset) + 256 * abs(step) for step, offset in zip(steps, offsets, strict=True))


def _explained(found: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
    """Return 1 less the mean squared error by the variance, for each number."""
    wrong = np.square(found - targets).mean(axis=0)
    spread = np.square(targets - targets.mean(axis=0)).mean(axis=0)
    explained: NDArray[np.float64] = 1 - wrong / np.maximum(spread, 1e-300)
    return explained


def _names(graph: Graph) -> tuple[str, ...]:
    return names_of(graph, graph.only_output.shape[2], "number ")


TASK = Regression()
