"""Put together what each layer's C is made of: arguments, members of the image, buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.graph.ir import Graph
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.image import c_name, member_name
from codegen.lower.state import State
from codegen.program.call import Call, Member, Stream
from codegen.program.draft import Draft


def make_calls(state: State) -> State:
    """Return ``state`` with a call per layer."""
    assert state.image is not None and state.buffers is not None
    members = {member.name: member for member in state.image.members}
    calls = tuple(
        _call(index, item, state.graph, state.buffers, members)
        for index, item in enumerate(state.layers)
    )
    return replace(state, calls=calls)


def _call(
    index: int, item: Lowered, graph: Graph, buffers: Buffers, members: Mapping[str, Member]
) -> Call:
    op, draft, name = item.op, item.draft, c_name(index, item.op.name)
    return Call(
        index=index,
        name=op.name,
        c_name=name,
        op=op,
        kernel=item.kernel,
        reason=item.reason,
        storage=draft.storage,
        args=draft.args,
        inputs=tuple(buffers.value(source) for source in op.inputs),
        output=buffers.value(op.output),
        scratch=buffers.scratch(op.name, draft.scratch_bytes),
        decoded=buffers.decoded(op.name, draft.decoded_bytes),
        in_shape=graph.value(op.inputs[0]).shape,
        out_shape=graph.value(op.output).shape,
        members={
            content.role: members[member_name(name, content)]
            for content in draft.contents
            if content.level is None
        },
        streams=_streams(draft, name, members),
        levels=draft.levels,
    )


def _streams(draft: Draft, layer_name: str, members: Mapping[str, Member]) -> tuple[Stream, ...]:
    by_level: dict[int, dict[str, Member]] = {}
    for content in draft.contents:
        if content.level is not None:
            roles = by_level.setdefault(content.level, {})
            roles[content.role] = members[member_name(layer_name, content)]
    return tuple(
        Stream(level, roles["positions"], roles["weights"])
        for level, roles in sorted(by_level.items())
    )
