"""How far an input is from what a network makes of it, as ``nn_difference`` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Uint8Array
from codegen.tasks._task import Answer, Outcome, Targets, Task, flat, real_values

_GAIN_BITS, _FINER_BITS = 16, 4
_MOST_GAIN = 8 << _GAIN_BITS
"""An output of much coarser steps than the input's could not come near it."""


@dataclass(frozen=True, eq=False)
class OddAnswer(Answer):
    """How odd one level finds an input."""

    difference: int
    is_odd: bool


class Anomaly(Task):
    """One input and one output of its shape, the input once more."""

    fitting = "one output of the input's shape, with a setting 'thresholds' for each level"
    metric = "AUROC"
    names_word = ""
    firmware = ("nn_difference", "nn_is_odd")

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output has the input's shape, and every level a threshold."""
        if not graph.is_one_to_one or graph.only_input.shape != graph.only_output.shape:
            return False
        return len(thresholds(graph)) == len(graph.levels) and 0 < gain(graph) <= _MOST_GAIN

    def constants(self, graph: Graph) -> Mapping[str, Any]:
        """Return the numbers of nn_anomaly."""
        return {
            "thresholds": thresholds(graph),
            "count": int(np.prod(graph.only_input.shape)),
            "gain": gain(graph),
        }

    def answer(self, outcome: Outcome) -> OddAnswer:
        """Return how odd one sample is."""
        difference = int(differences(outcome)[0])
        is_odd = difference >= thresholds(outcome.graph)[outcome.level]
        real = real_values(outcome.graph, outcome.level, outcome.outputs)
        text = f"{'odd' if is_odd else 'as usual'}, difference {difference}"
        return OddAnswer(outcome.level, flat(outcome.outputs), real, text, difference, is_odd)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return per level how odd the input is."""
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "difference": answer.difference,
                "threshold": thresholds(graph)[answer.index],
                "odd": "yes" if answer.is_odd else "no",
            }
            for answer in answers
            if isinstance(answer, OddAnswer)
        ]

    def picture(self, graph: Graph, pixels: Uint8Array, answer: Answer) -> Uint8Array | None:
        """Return the image with red where the network's differs from it, for images."""
        source = graph.only_input
        if source.meaning != "pixels" or pixels.shape != source.shape:
            return None
        given = (pixels.astype(np.float64) - 128 - source.zero_point) * source.scale[0]
        away = np.abs(answer.real.reshape(source.shape) - given).max(axis=2) / source.scale[0]
        drawn = np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        drawn[..., 0] = np.maximum(drawn[..., 0], np.clip(4 * away, 0, 255).astype(np.uint8))
        return drawn

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return how odd every sample is, and whether that is odd, (n, 2)."""
        found = differences(outcome)
        odd = found >= thresholds(outcome.graph)[outcome.level]
        return np.stack([found, odd], axis=1).astype(np.uint32)

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the area under the curve of hits by false alarms; 0.5 without both kinds."""
        return area(differences(outcome), targets)

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return how often what is usual, and what is not, is called odd."""
        if targets is None:
            return {"rows": None}
        odd = differences(outcome) >= thresholds(outcome.graph)[outcome.level]
        kinds = (("usual", targets == 0), ("odd", targets != 0))
        return {
            "rows": [
                {
                    "samples that are": name,
                    "samples": int(which.sum()),
                    "called_odd": float(odd[which].mean()) if which.any() else 0.0,
                }
                for name, which in kinds
            ]
        }


def gain(graph: Graph) -> int:
    """Return how many 2^-16 of the input's step a step of the output is."""
    return round(graph.only_output.scale[0] / graph.only_input.scale[0] * (1 << _GAIN_BITS))


def thresholds(graph: Graph) -> tuple[int, ...]:
    """Return every level's least difference of what is odd; none where they are not set."""
    numbers = () if graph.task is None else graph.task.numbers("thresholds")
    fit = all(number.is_integer() and 0 <= number < 2**32 for number in numbers)
    return tuple(map(int, numbers)) if fit else ()


def differences(outcome: Outcome) -> NDArray[np.int64]:
    """Return the mean squared difference of every sample, (n,)."""
    graph = outcome.graph
    pair = (outcome.inputs[0], outcome.outputs[0])
    given, made = (x.reshape(len(x), -1).astype(np.int64) for x in pair)
    lifted = (made - graph.only_output.zero_point) * gain(graph)
    half = 1 << (_GAIN_BITS - _FINER_BITS - 1)
    away = (lifted + half) >> (_GAIN_BITS - _FINER_BITS)
    away -= (given - graph.only_input.zero_point) << _FINER_BITS
    count = given.shape[1]
    found: NDArray[np.int64] = (np.square(away).sum(axis=1) + count // 2) // count
    return found


def area(scores: NDArray[Any], targets: Targets) -> float:
    """Return how often a sample that is odd (target not 0) has a larger score than one that is not,
    equal ones counting half."""
    odd, usual = scores[targets != 0], np.sort(scores[targets == 0])
    if not len(odd) or not len(usual):
        return 0.5
    below = np.searchsorted(usual, odd, "left") + np.searchsorted(usual, odd, "right")
    return float(below.mean() / (2 * len(usual)))


TASK = Anomaly()
