"""Several inputs and outputs: where they lie, and that nothing overwrites them too early."""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod

import numpy as np
import pytest

from codegen.graph import reference
from codegen.graph.ir import Graph
from codegen.graph.ops.reshape import Reshape
from codegen.graph.synthetic import random_graph, random_inputs
from codegen.graph.verify import VerifyError
from codegen.lower.buffers import Buffers
from codegen.lower.lowering import lower
from codegen.target.target import resolve
from tests.support.edge_nets import detector, edge_graphs, fusion, gates
from tests.support.packed_machine import PackedMachine

DECODE = ("inference", "level")
SIZES = [(2, 1), (1, 3), (3, 2), (3, 4)]


def check(graph: Graph, seed: int, **said: str) -> None:
    """Run a lowered graph from image and arena, twice, and compare all outputs of all levels."""
    packed = lower(graph, resolve("host", **said))  # type: ignore[arg-type]
    assert {buffer.place for buffer in (*packed.inputs, *packed.outputs)} == {"arena"}
    assert tuple(buffer.value for buffer in packed.inputs) == graph.inputs
    assert tuple(buffer.value for buffer in packed.outputs) == graph.outputs
    machine = PackedMachine(packed, seed)
    inputs = random_inputs(graph, 2, seed)
    for level in (*range(len(graph.levels)), 0):
        expected = reference.run(packed.graph, inputs, level)
        if said.get("kernels") != "cmsis-nn":
            for one, other in zip(expected, reference.run(graph, inputs, level), strict=True):
                assert np.array_equal(one, other), "a pass changed an output"
        for index in range(2):
            got = machine.run_all([given[index] for given in inputs], level)
            for one, other in zip(got, expected, strict=True):
                assert np.array_equal(one, other[index].reshape(-1))


@pytest.mark.parametrize("decode", DECODE)
@pytest.mark.parametrize("graph", edge_graphs(), ids=lambda graph: graph.name)
def test_fixed_networks_run_from_flash_and_arena(graph: Graph, decode: str) -> None:
    check(graph, 1, decode=decode, optimize="size")
    check(graph, 2, kernels="cmsis-nn", decode=decode)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
def test_random_networks_run_from_flash_and_arena(seed: int, inputs: int, outputs: int) -> None:
    graph = random_graph(100 + seed, blocks=4, largest=9, inputs=inputs, outputs=outputs)
    assert (len(graph.inputs), len(graph.outputs)) == (inputs, outputs)
    check(graph, seed, decode=DECODE[seed % 2], optimize="size" if seed % 3 else "balanced")


def test_a_view_shares_the_buffer_of_the_output_it_views() -> None:
    graph = detector()
    packed = lower(graph, resolve("host"))
    scores, boxes, rows = packed.outputs
    assert boxes.offset_bytes == rows.offset_bytes != scores.offset_bytes
    assert any(isinstance(op, Reshape) and op.output == rows.value for op in packed.graph.ops)
    readers = [layer for layer in packed.layers if boxes.offset_bytes in
               [buffer.offset_bytes for buffer in layer.inputs]]  # fmt: skip
    assert readers, "the output is read inside"


def test_an_input_is_overwritten_after_its_last_reader_only() -> None:
    """The pixels of `fusion` die at once, its samples live long: the arena is below the sum."""
    packed = lower(fusion(), resolve("host"))
    first, second = packed.inputs
    assert first.size_bytes == 11 * 7 * 3 and second.size_bytes == 5 * 4 * 5
    reused = {
        layer.index
        for layer in packed.layers
        if layer.output.offset_bytes < first.offset_bytes + first.size_bytes
        and first.offset_bytes < layer.output.offset_bytes + layer.output.size_bytes
    }
    assert reused, "the bytes of a dead input serve others"
    everything = sum(layer.output.size_bytes for layer in packed.layers)
    assert packed.arena_bytes < first.size_bytes + second.size_bytes + everything


def test_edges_are_aligned_and_inside() -> None:
    for graph in edge_graphs():
        packed = lower(graph, resolve("host"))
        for buffer in (*packed.inputs, *packed.outputs):
            assert buffer.offset_bytes % 8 == 0
            assert buffer.size_bytes == prod(graph.value(buffer.value).shape)
            assert buffer.offset_bytes + buffer.size_bytes <= packed.arena_bytes


@pytest.mark.parametrize("forgotten", ["inputs", "outputs"])
def test_a_plan_that_forgets_an_edge_is_found(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs that live from their first reader on only, outputs that die with their last one."""
    plan = Buffers._requests

    def wrong(self: Buffers, layers: tuple) -> list:  # type: ignore[type-arg]
        changed = []
        for request in plan(self, layers):
            if forgotten == "inputs" and request.name in self.inputs:
                request = replace(request, first=request.last)
            if forgotten == "outputs" and request.name in self.outputs:
                reads = [
                    index
                    for index, item in enumerate(layers)
                    if request.name in [self.root[name] for name in item.op.inputs]
                ]
                request = replace(request, last=max([request.first, *reads]))
            changed.append(request)
        return changed

    monkeypatch.setattr(Buffers, "_requests", wrong)
    found = re.compile("bytes of .* as they were written")
    with pytest.raises(VerifyError, match=found):
        lower(gates(), resolve("host"))


def test_one_input_and_output_stay_with_the_caller() -> None:
    packed = lower(random_graph(5), resolve("host"))
    assert [buffer.place for buffer in packed.inputs] == ["input"]
    assert [buffer.place for buffer in packed.outputs] == ["output"]
