"""Classification: the answer is the class of the largest output, as ``nn_argmax`` returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array
from codegen.graph.ops.softmax import Softmax
from codegen.tasks._task import Answer, Targets, Task


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
    has_classes = True
    firmware = ("nn_argmax",)

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output is a list of class scores, or of plain numbers."""
        if len(graph.outputs) != 1:
            return False
        output = graph.only_output
        return output.shape[:2] == (1, 1) and output.meaning in ("class_scores", "plain")

    def answers(self, graph: Graph, image: Int8Array) -> tuple[ClassAnswer, ...]:
        """Return the answer of every level, sparsest first, to one int8 ``image`` (h, w, c).

        Raises:
            UserError: an image of another shape than the network's input, a network with several
                inputs or outputs, or one whose output is no list of class scores.
        """
        output = graph.only_output
        if not self.fits(graph):
            raise UserError(
                f"network {graph.name}",
                "its output is no list of classes",
                got=f"{output.meaning}, {'x'.join(map(str, output.shape))}",
                expected="1x1xCLASSES",
                action="Choose a network that classifies",
            )
        names = graph.provenance.class_names
        probabilities = any(
            isinstance(op, Softmax) and op.output == output.name for op in graph.ops
        )
        found = []
        for level in range(len(graph.levels)):
            values = reference.run_one(graph, image[None], level).reshape(-1)
            real = (values.astype(np.float64) - output.zero_point) * output.scale[level]
            shares = real if probabilities else np.exp(real - real.max())
            if not shares.any():  # probabilities of many classes, all below half a step
                shares = np.ones_like(shares)
            best = argmax(values)
            label = names[best] if names else ""
            text = f"{real[0]:.4g}" if len(values) == 1 else f"class {best} {label}".rstrip()
            found.append(ClassAnswer(level, values, real, text, shares / shares.sum(), best, label))
        return tuple(found)

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

    def score(self, outputs: Int8Array, targets: Targets) -> float:
        """Return the top-1 accuracy of ``outputs`` (n, h, w, c), the first of equals winning."""
        best = outputs.reshape(len(outputs), -1).argmax(axis=1)
        return float(np.mean(best == targets))

    def details(self, outputs: Int8Array, targets: Targets | None) -> Mapping[str, Any]:
        """Return the confusion: images of each class (row) taken for each (column)."""
        return {"confusion": None if targets is None else confusion(outputs, targets)}


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
