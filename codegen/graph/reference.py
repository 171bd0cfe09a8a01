"""Run an integer graph in NumPy: the oracle every other runner is compared with.

The arithmetic is docs/integer-contract.md; each operator's is in ``codegen/graph/ops/<op>.py``.
"""

from __future__ import annotations

import numpy as np

from codegen.errors import UserError
from codegen.graph.ir import Graph, Int8Array

BATCH = 64
"""Images computed at once; bounds memory, changes no result."""


def run(graph: Graph, images: Int8Array, level: int) -> Int8Array:
    """Return the graph's output (n, h, w, c) for int8 images (n, h, w, c) at ``level``.

    Raises:
        UserError: images of another type or shape than the input value's, or no such level.
    """
    _check_arguments(graph, images, level)
    shape = graph.value(graph.output).shape
    result = np.empty((len(images), *shape), np.int8)
    for begin in range(0, len(images), BATCH):
        batch = images[begin : begin + BATCH]
        result[begin : begin + BATCH] = _run_batch(graph, batch, level, keep_all=False)[
            graph.output
        ]
    return result


def run_values(graph: Graph, images: Int8Array, level: int) -> dict[str, Int8Array]:
    """Return every value (n, h, w, c) by name, the input included.

    Raises:
        UserError: as for :func:`run`.
    """
    _check_arguments(graph, images, level)
    return _run_batch(graph, images, level, keep_all=True)


def _check_arguments(graph: Graph, images: Int8Array, level: int) -> None:
    shape = graph.value(graph.input).shape
    if images.dtype != np.int8 or images.shape[1:] != shape:
        raise UserError(
            f"network {graph.name}",
            "wrong input images",
            got=f"{images.dtype.name} {images.shape}",
            expected=f"int8 (n, {shape})",
            action="Subtract 128 from the pixels and resize them to the network's input",
        )
    if not 0 <= level < len(graph.levels):
        raise UserError(
            f"network {graph.name}",
            "no such level",
            got=level,
            expected=f"0..{len(graph.levels) - 1}",
            action="Choose one of the levels",
        )


def _run_batch(graph: Graph, images: Int8Array, level: int, keep_all: bool) -> dict[str, Int8Array]:
    values = {graph.input: images}
    last_use = {name: index for index, op in enumerate(graph.ops) for name in op.inputs}
    for index, op in enumerate(graph.ops):
        inputs = tuple(values[name] for name in op.inputs)
        values[op.output] = op.run(graph, inputs, level)
        if not keep_all:
            for name in set(op.inputs) - {graph.output}:
                if last_use[name] == index:
                    del values[name]
    return values
