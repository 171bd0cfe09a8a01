"""Lower an integer graph to the program that C text is made of."""

from __future__ import annotations

import zlib

from codegen.graph.ir import Graph
from codegen.graph.verify import verify
from codegen.lower.pipeline import STEPS
from codegen.lower.state import State
from codegen.program.call import Call, LevelCost
from codegen.program.program import Program, ProgramLevel
from codegen.target.target import Target


def lower(graph: Graph, target: Target) -> Program:
    """Return everything code generation needs to know about ``graph``.

    Args:
        graph: as exported; it is verified first.
        target: what it is lowered for.

    Raises:
        UserError: an op that no kernel takes.
        VerifyError: a broken rule; names the step after which it was found.
    """
    state = State(source=verify(graph, "export"), target=target, graph=graph)
    for step in STEPS:
        before, state = state, step.run(state)
        if state is not before:
            step.verify(state, step.name)
    return _program(state)


def _program(state: State) -> Program:
    assert state.image is not None and state.buffers is not None
    return Program(
        graph=state.graph,
        source=state.source,
        target=state.target,
        layers=state.calls,
        inputs=tuple(state.buffers.value(name) for name in state.graph.inputs),
        outputs=tuple(state.buffers.value(name) for name in state.graph.outputs),
        image=state.image.members,
        image_bytes=state.image.content,
        crc32=zlib.crc32(state.image.content),
        arena_bytes=state.buffers.plan.arena_bytes,
        peak_bytes=state.buffers.plan.peak_bytes,
        levels=_levels(state.graph, state.calls),
    )


def _levels(graph: Graph, layers: tuple[Call, ...]) -> tuple[ProgramLevel, ...]:
    return tuple(
        ProgramLevel(
            name=level.name,
            sparsity=level.sparsity,
            accuracy=level.accuracy_quantized,
            cost=LevelCost(
                macs=sum(layer.levels[index].macs for layer in layers),
                cycles=sum(layer.levels[index].cycles for layer in layers),
                weight_bytes=sum(layer.levels[index].weight_bytes for layer in layers),
            ),
        )
        for index, level in enumerate(graph.levels)
    )
