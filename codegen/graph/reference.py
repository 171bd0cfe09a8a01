"""Run an integer graph in NumPy: the oracle every other runner is compared with.

The arithmetic is docs/integer-contract.md; each operator's is in ``codegen/graph/ops/<op>.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.errors import UserError
from codegen.graph.ir import Graph, Int8Array

BATCH = 64
"""Samples computed at once; bounds memory, changes no result."""


def run(graph: Graph, inputs: Sequence[Int8Array], level: int) -> tuple[Int8Array, ...]:
    """Return the graph's outputs, each (n, h, w, c), in the order of ``graph.outputs``.

    Args:
        graph: the network.
        inputs: int8, each (n, h, w, c), in the order of ``graph.inputs``.
        level: which sub-network.

    Raises:
        UserError: another number of inputs, one of another type or shape than its value's, inputs
            of different n, or no such level.
    """
    count = check_inputs(graph, inputs)
    _check_level(graph, level)
    results = tuple(np.empty((count, *shape), np.int8) for shape in graph.shapes(graph.outputs))
    for begin in range(0, count, BATCH):
        batch = slice(begin, begin + BATCH)
        values = _run_batch(graph, [given[batch] for given in inputs], level, keep_all=False)
        for name, result in zip(graph.outputs, results, strict=True):
            result[batch] = values[name]
    return results


def run_one(graph: Graph, images: Int8Array, level: int) -> Int8Array:
    """Return the output (n, h, w, c) of a graph with one input and one output: :func:`run`.

    Raises:
        UserError: several inputs or outputs, or as for :func:`run`.
    """
    graph.only_input, graph.only_output  # noqa: B018  raise where there are several
    return run(graph, (images,), level)[0]


def run_values(graph: Graph, inputs: Sequence[Int8Array], level: int) -> dict[str, Int8Array]:
    """Return every value (n, h, w, c) by name, the inputs included.

    Raises:
        UserError: as for :func:`run`.
    """
    check_inputs(graph, inputs)
    _check_level(graph, level)
    return _run_batch(graph, inputs, level, keep_all=True)


def check_inputs(graph: Graph, inputs: Sequence[Int8Array]) -> int:
    """Return how many samples ``inputs`` hold, each (n, h, w, c).

    Raises:
        UserError: as for :func:`run`; the message names the input.
    """
    if len(inputs) != len(graph.inputs):
        raise UserError(
            f"network {graph.name}",
            "wrong number of inputs",
            got=len(inputs),
            expected=f"{len(graph.inputs)}: {', '.join(graph.inputs)}",
            action="Give one array (n, h, w, c) per input, in this order",
        )
    for name, given in zip(graph.inputs, inputs, strict=True):
        value = graph.value(name)
        if given.dtype != np.int8 or given.ndim != 4 or given.shape[1:] != value.shape:
            pixels = value.meaning == "pixels"
            raise UserError(
                f"network {graph.name}, input {name}",
                "wrong type or shape",
                got=f"{given.dtype.name} {given.shape}",
                expected="int8 (n, " + ", ".join(map(str, value.shape)) + ")",
                action="Subtract 128 from the pixels and resize them to the network's input"
                if pixels
                else "Quantize the values with the input's scale and zero point",
            )
        if len(given) != len(inputs[0]):
            raise UserError(
                f"network {graph.name}, input {name}",
                "not as many samples as the others have",
                got=len(given),
                expected=f"{len(inputs[0])}, as input {graph.inputs[0]}",
                action="Give every input the same number of samples",
            )
    return len(inputs[0])


def _check_level(graph: Graph, level: int) -> None:
    if not 0 <= level < len(graph.levels):
        raise UserError(
            f"network {graph.name}",
            "no such level",
            got=level,
            expected=f"0..{len(graph.levels) - 1}",
            action="Choose one of the levels",
        )


def _run_batch(
    graph: Graph, inputs: Sequence[Int8Array], level: int, keep_all: bool
) -> dict[str, Int8Array]:
    values = dict(zip(graph.inputs, inputs, strict=True))
    last_use = {name: index for index, op in enumerate(graph.ops) for name in op.inputs}
    for index, op in enumerate(graph.ops):
        given = tuple(values[name] for name in op.inputs)
        values[op.output] = op.run(graph, given, level)
        if not keep_all:
            for name in set(op.inputs) - set(graph.outputs):
                if last_use[name] == index:
                    del values[name]
    return values
