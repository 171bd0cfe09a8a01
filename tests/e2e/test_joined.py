"""Convolutions that join their maps as they read them give the bits of maps that lie in RAM."""

from __future__ import annotations

import pytest

from codegen.emit import stack
from codegen.graph.joined import JoinedConv
from codegen.graph.synthetic import random_inputs
from codegen.lower import lowering
from codegen.measure import compare
from codegen.target import runners
from codegen.target.target import resolve
from tests.support.joined_nets import all_joined, parts_graph
from tests.support.projects import Build


@pytest.mark.parametrize("board_id", ["host", "qemu_m0", "qemu_m4", "qemu_m7"])
def test_joined_maps_equal_the_reference(build: Build, board_id: str) -> None:
    graph = parts_graph()
    built = build(all_joined(graph), board_id)
    inputs = random_inputs(graph, 3, seed=5)
    made = compare.compare(built, graph, inputs, None, range(len(graph.levels)))
    assert made.bit_exact, "\n".join(map(str, made.differences))
    taken = runners.run(built, inputs, [0]).stack_bytes
    bound = stack.bound_bytes(lowering.lower(all_joined(graph), resolve(board_id)))
    assert taken is None or taken <= bound


def test_every_kernel_on_the_patch_buffer_joins() -> None:
    layers = lowering.lower(all_joined(parts_graph()), resolve("qemu_m4")).layers
    joining = [layer for layer in layers if isinstance(layer.op, JoinedConv)]
    bodies = {(layer.kernel, getattr(layer.args, "group", 0)) for layer in joining}
    assert bodies == {("dense_conv", 0), *(("nested_conv", group) for group in (1, 2, 4))}
    assert {len(layer.args.parts) for layer in joining} == {1, 2, 3, 4}
    assert {"dense_conv", "nested_conv"} == {
        layer.kernel for layer in joining if layer.op.body.residual is not None
    }
