"""Classification: the answer is the class of the largest output, as ``nn_argmax`` returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Int8Array
from codegen.graph.ops.softmax import Softmax
from codegen.tasks._task import Answer, Outcome, Targets, Task, flat, real_values


@dataclass(frozen=True, eq=False)
class ClassAnswer(Answer):
    """Which class one level takes an image for."""

    shares: NDArray[np.float64]
    """Shape (classes,): softmax of the outputs, 0..1, together 1; equal where all outputs say 0."""
    best: int
    """The first class of the largest output, as nn_argmax returns it."""
    label: str
    """Its name; empty where the network has none."""


class Classification(Task):
    """One output per class; targets are class numbers."""

    fitting = "one output of class_scores, or of plain numbers, 1x1xCLASSES"
    is_guessed = True
    has_classes = True
    metric = "accuracy"
    firmware = ("nn_argmax",)

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output is a list of class scores, or of plain numbers."""
        if len(graph.outputs) != 1:
            return False
        output = graph.only_output
        return output.shape[:2] == (1, 1) and output.meaning in ("class_scores", "plain")

    def answer(self, outcome: Outcome) -> ClassAnswer:
        """Return the class that one sample is taken for."""
        graph, level = outcome.graph, outcome.level
        output = graph.only_output
        names = graph.provenance.class_names
        probabilities = any(
            isinstance(op, Softmax) and op.output == output.name for op in graph.ops
        )
        values = flat(outcome.outputs)
        real = real_values(graph, level, outcome.outputs)
        shares = real if probabilities else np.exp(real - real.max())
        if not shares.any():  # probabilities of many classes, all below half a step
            shares = np.ones_like(shares)
        best = argmax(values)
        label = names[best] if names else ""
        text = f"{real[0]:.4g}" if len(values) == 1 else f"class {best} {label}".rstrip()
        return ClassAnswer(level, values, real, text, shares / shares.sum(), best, label)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return plain data for a JSON file: per level the classes, the likeliest first."""
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "classes": _classes(answer, graph.provenance.class_names),
            }
            for answer in answers
            if isinstance(answer, ClassAnswer)
        ]

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return the class of every sample, (n, 1)."""
        return _classes_of(outcome).astype(np.uint32)[:, None]

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the top-1 accuracy, the first of equals winning."""
        return float(np.mean(_classes_of(outcome) == targets))

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return the confusion, images of each class (row) taken for each (column); macro-F1."""
        if targets is None:
            return {"confusion": None, "macro_f1": None}
        counts = confusion(outcome.outputs[0], targets)
        return {"confusion": counts, "macro_f1": macro_f1(counts)}


def _classes_of(outcome: Outcome) -> NDArray[np.int64]:
    """Return the class of the largest output of every sample, (n,)."""
    scores = outcome.outputs[0]
    found: NDArray[np.int64] = scores.reshape(len(scores), -1).argmax(axis=1)
    return found


def argmax(values: Int8Array) -> int:
    """Return the number of the largest of ``values`` (n,), the first of equals."""
    return int(values.argmax())


def confusion(outputs: Int8Array, labels: Targets) -> tuple[tuple[int, ...], ...]:
    """Return how many images of each class (row) ``outputs`` (n, h, w, c) take for which."""
    scores = outputs.reshape(len(outputs), -1)
    size = max(scores.shape[1], int(max(labels)) + 1)
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (labels, scores.argmax(axis=1)), 1)
    return tuple(tuple(row) for row in counts.tolist())


def macro_f1(counts: Sequence[Sequence[int]]) -> float:
    """Return the mean F1 of the classes that a confusion's samples have, whatever their number."""
    table = np.array(counts, np.float64)
    right, truth, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    f1 = 2 * right / np.maximum(truth + said, 1)
    return float(f1[truth > 0].mean()) if truth.any() else 0.0


def _classes(answer: ClassAnswer, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what ``answer`` says of every class, the largest output first."""
    return [
        {
            "class": int(index),
            "name": names[index] if names else "",
            "share": round(float(answer.shares[index]), 6),
            "value": round(float(answer.real[index]), 6),
            "output": int(answer.output[index]),
        }
        for index in np.argsort(-answer.output.astype(np.int64), kind="stable")
    ]


TASK = Classification()
