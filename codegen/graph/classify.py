"""Classify an image with the integer reference, at every level, as a device would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array
from codegen.graph.ops.softmax import Softmax


@dataclass(frozen=True, eq=False)
class Answer:
    """What one level says of an image."""

    index: int
    """The level."""
    output: Int8Array
    """Shape (classes,), as nn_run writes it."""
    real: NDArray[np.float64]
    """Shape (classes,): the real values the outputs stand for."""
    shares: NDArray[np.float64]
    """Shape (classes,): softmax of the outputs, 0..1, together 1; equal where all outputs say 0."""
    best: int
    """The first class of the largest output, as nn_argmax returns it."""
    label: str
    """Its name; empty where the network has none."""


def classify(graph: Graph, image: Int8Array) -> tuple[Answer, ...]:
    """Return the answer of every level, sparsest first, to one int8 ``image`` (h, w, c).

    Raises:
        UserError: an image of another shape than the network's input, a network with several inputs
            or outputs, or one whose output is no list of class scores.
    """
    output = graph.only_output
    if output.shape[:2] != (1, 1) or output.meaning not in ("class_scores", "plain"):
        raise UserError(
            f"network {graph.name}",
            "its output is no list of classes",
            got=f"{output.meaning}, {'x'.join(map(str, output.shape))}",
            expected="1x1xCLASSES",
            action="Choose a network that classifies",
        )
    names = graph.provenance.class_names
    probabilities = any(isinstance(op, Softmax) and op.output == output.name for op in graph.ops)
    answers = []
    for level in range(len(graph.levels)):
        values = reference.run_one(graph, image[None], level).reshape(-1)
        real = (values.astype(np.float64) - output.zero_point) * output.scale[level]
        shares = real if probabilities else np.exp(real - real.max())
        if not shares.any():  # probabilities of many classes, all below half a step of the output
            shares = np.ones_like(shares)
        best = int(values.argmax())
        answers.append(
            Answer(level, values, real, shares / shares.sum(), best, names[best] if names else "")
        )
    return tuple(answers)


def as_json(graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return plain data for a JSON file: per level the classes, the likeliest first."""
    names = graph.provenance.class_names
    return [
        {
            "level": answer.index,
            "sparsity": graph.levels[answer.index].sparsity,
            "classes": [
                {
                    "class": int(index),
                    "name": names[index] if names else "",
                    "share": round(float(answer.shares[index]), 6),
                    "value": round(float(answer.real[index]), 6),
                    "output": int(answer.output[index]),
                }
                for index in np.argsort(-answer.output.astype(np.int64), kind="stable")
            ],
        }
        for answer in answers
    ]
