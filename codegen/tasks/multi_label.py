"""Several yes or no answers, or one, to an input, as ``nn_present`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Int8Array, Uint8Array
from codegen.tasks._task import (
    Answer,
    Outcome,
    Targets,
    Task,
    flat,
    int8_settings,
    names_of,
    real_values,
    share,
)


@dataclass(frozen=True, eq=False)
class LabelAnswer(Answer):
    """Which labels one level finds."""

    present: Uint8Array
    """Shape (labels,), 0 or 1."""


class MultiLabel(Task):
    """One output of one position, with a number for each label."""

    fitting = "one output 1x1xLABELS, with as many numbers in the setting 'thresholds'"
    metric = "macro-F1"
    names_word = "Labels"
    firmware = ("nn_present",)

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output is a list with a threshold for each number."""
        if len(graph.outputs) != 1 or graph.only_output.shape[:2] != (1, 1):
            return False
        return len(thresholds(graph)) == graph.only_output.shape[2]

    def constants(self, graph: Graph) -> Mapping[str, Any]:
        """Return the numbers of nn_multi_label."""
        return {"thresholds": thresholds(graph)}

    def ram_bytes(self, graph: Graph) -> Mapping[str, int]:
        """Return the bytes of what nn_present writes."""
        return {"labels": len(thresholds(graph))}

    def answer(self, outcome: Outcome) -> LabelAnswer:
        """Return the labels of one sample."""
        (found,) = present(outcome)
        real = real_values(outcome.graph, outcome.level, outcome.outputs)
        there = [name for name, yes in zip(_names(outcome.graph), found, strict=True) if yes]
        text = ", ".join(there) or "none of the labels"
        return LabelAnswer(outcome.level, flat(outcome.outputs), real, text, found)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return per level the probability of every label, and which are present."""
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "present": answer.text,
                "probabilities": {
                    name: round(float(1 / (1 + np.exp(-real))), 6)
                    for name, real in zip(_names(graph), answer.real, strict=True)
                },
            }
            for answer in answers
        ]

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return which labels each sample has, (n, labels)."""
        return present(outcome)

    def found(self, answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which samples have a label."""
        found: NDArray[np.bool_] = np.asarray((answers > 0).any(axis=1))
        return found

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the mean F1 of the labels that some target has."""
        right, said, truth = _counts(outcome, targets)
        known = truth > 0
        f1 = 2 * right / np.maximum(said + truth, 1)
        return float(f1[known].mean()) if known.any() else 0.0

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return precision, recall and F1 of every label; None where there is nothing of it."""
        if targets is None:
            return {"rows": None}
        right, said, truth = _counts(outcome, targets)
        return {
            "rows": [
                {
                    "label": name,
                    "samples": int(truth[index]),
                    "precision": share(right[index], said[index]),
                    "recall": share(right[index], truth[index]),
                    "f1": share(2 * right[index], said[index] + truth[index]),
                }
                for index, name in enumerate(_names(outcome.graph))
            ]
        }


def thresholds(graph: Graph) -> Int8Array:
    """Return the least int8 value of each label that counts as yes; none where they are not set."""
    return int8_settings(graph, "thresholds")


def present(outcome: Outcome) -> Uint8Array:
    """Return which labels each sample has, (n, labels)."""
    scores = outcome.outputs[0]
    found = scores.reshape(len(scores), -1) >= thresholds(outcome.graph)
    return found.astype(np.uint8)


def _counts(outcome: Outcome, targets: Targets) -> tuple[Targets, Targets, Targets]:
    """Return for each label how often it is rightly said, said at all, and true."""
    found = present(outcome).astype(bool)
    truth = targets.reshape(found.shape) > 0
    return (found & truth).sum(axis=0), found.sum(axis=0), truth.sum(axis=0)


def _names(graph: Graph) -> tuple[str, ...]:
    return names_of(graph, graph.only_output.shape[2])


TASK = MultiLabel()
