"""What must hold after each step of lowering: rules that know nothing of how the step works."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import prod

import numpy as np

from codegen import kernels
from codegen.formats.base import ROLES
from codegen.formats.storage import IMAGE_ALIGN_BYTES
from codegen.graph.ir import Broken, Finding, Graph
from codegen.graph.verify import VerifyError, verify
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.plan_memory import ALIGN_BYTES, conflicts
from codegen.lower.simulation import Simulation, Use
from codegen.lower.state import State
from codegen.program.call import Call, Member
from codegen.program.draft import Candidate, Content, Draft, round_up

Rules = Callable[[State], Iterable[Finding]]

C_NAME = re.compile(r"layer_[0-9]{2,}_[a-z0-9_]*")
ALIGNMENTS = (1, 2, 4)
LEVEL = "level"
"""``Target.decode`` of areas that hold what was decoded until the level changes."""


def verify_graph(state: State, step: str) -> None:
    """Prove the rules of a graph after a pass, and that its user sees the one that was exported.

    Raises:
        VerifyError: the first broken rule.
    """
    verify(state.graph, step)
    for node, (rule, value) in _as_exported(state.graph, state.source):
        raise VerifyError(state.graph.name, step, node, rule, value)


def _as_exported(graph: Graph, source: Graph) -> Iterator[Finding]:
    """Return what a user of the network would find changed."""
    for part in ("name", "inputs", "outputs", "levels", "provenance", "task"):
        found, wanted = getattr(graph, part), getattr(source, part)
        if found != wanted:
            yield "graph", (f"its {part} as exported, {wanted}", found)
    for name in (*source.inputs, *source.outputs):
        edge, exported = graph.value(name), source.value(name)
        for part in ("shape", "scale", "zero_point", "meaning", "source"):
            found, wanted = getattr(edge, part), getattr(exported, part)
            if found != wanted:
                yield f"value {name}", (f"its {part} as exported, {wanted}", found)


def raising(rules: Rules) -> Callable[[State, str], None]:
    """Return the verifier that raises the first finding of ``rules``.

    Its VerifyError names the step, the layer, the rule and the value.
    """

    def check(state: State, step: str) -> None:
        for layer, (rule, value) in rules(state):
            raise VerifyError(state.graph.name, step, f"layer {layer}", rule, value)

    return check


def offers(state: State) -> Iterator[Finding]:
    """After offer_kernels: each op that computes can be computed, also without any codec."""
    names = _computing(state.graph)
    if sorted(state.offers) != sorted(names):
        yield "list", ("an offer for each op that is no view", sorted(state.offers))
    known = {kernel.name for kernel in kernels.KERNELS}
    for name, candidates in state.offers.items():
        if all(item.codecs for item in candidates):
            yield name, ("one offer needs no decoder", [item.storage for item in candidates])
        for item in candidates:
            if item.kernel not in known:
                yield name, ("a kernel of codegen/kernels", item.kernel)
            figures = (item.cycles, item.stored_bytes, item.area_bytes, item.decoding_bytes)
            if min(figures) < 0:
                yield name, ("cycles and bytes are not negative", figures)
            if bool(item.codecs) != bool(item.area_bytes):
                yield name, ("an area if and only if streams are coded", item.area_bytes)


def layers(state: State) -> Iterator[Finding]:
    """After choose_storage: every op is lowered once, to what one of its offers draws up.

    The arguments fit the values and the kernel's template. A layer's members have distinct roles,
    its streams come in pairs, and what is decoded has its own bytes of the decoded area.
    """
    names = [item.op.name for item in state.layers]
    if names != _computing(state.graph):
        yield "list", ("each op that is no view once, in order", names)
        return
    for item, op in zip(
        state.layers, (op for op in state.graph.ops if not op.is_view), strict=True
    ):
        if item.op is not op:
            yield op.name, ("the op of the graph", item.op)
        if not any(item.offer is offer for offer in state.offers[op.name]):
            yield op.name, ("one of the op's offers", item.kernel)
        for rules in (
            _arguments(item, state.graph),
            _contents(item, len(state.graph.levels)),
            _offered(item.draft, item.offer),
        ):
            yield from ((op.name, broken) for broken in rules)


def _computing(graph: Graph) -> list[str]:
    return [op.name for op in graph.ops if not op.is_view]


def _arguments(item: Lowered, graph: Graph) -> Iterator[Broken]:
    """Return what of a layer does not agree with the values it reads and writes."""
    *read, written = (prod(graph.value(name).shape) for name in (*item.op.inputs, item.op.output))
    args, draft = item.draft.args, item.draft
    if type(args) is not kernels.row(item.kernel).args:
        yield f"arguments of {item.kernel}", type(args).__name__
    taken = [*args.in_elements, *(written for _ in read[len(args.in_elements) :])]
    if taken != read:
        yield f"arguments for {read} input elements", taken
    if args.out_elements != written:
        yield f"arguments for {written} output elements", args.out_elements
    if len(draft.levels) != len(graph.levels):
        yield f"costs of {len(graph.levels)} levels", len(draft.levels)
    for figure in ("macs", "cycles", "weight_bytes"):
        found = [getattr(level, figure) for level in draft.levels]
        if min(found, default=0) < 0:
            yield f"{figure} are not negative", found
    macs = [level.macs for level in draft.levels]
    if any(after < before for before, after in pairwise(macs)):
        yield "a denser level multiplies no less", macs
    if draft.scratch_bytes < 0:
        yield "scratch bytes are not negative", draft.scratch_bytes


def _contents(item: Lowered, levels: int) -> Iterator[Broken]:
    """Return what is wrong with a layer's members before they are laid out."""
    contents = item.draft.contents
    for key, count in Counter((content.role, content.level) for content in contents).items():
        if count > 1:
            yield "each role once, per level if it has levels", key
    streams = {
        role: {content.level for content in contents if content.role == role} - {None}
        for role in ("positions", "weights")
    }
    wanted = set(range(levels)) if streams["weights"] or streams["positions"] else set()
    for role, found in streams.items():
        if found != wanted:
            yield f"{role} at levels {sorted(wanted)}", sorted(found, key=str)
    for content in contents:
        if content.align_bytes not in ALIGNMENTS or content.array.nbytes % content.align_bytes:
            yield f"{content.role} of whole units aligned to 1, 2 or 4", content.align_bytes
        if content.coded and (content.array.dtype != np.uint8 or content.align_bytes != 1):
            yield f"the code of {content.role} as bytes", content.array.dtype
        if content.by_level and content.array.shape[0] not in (levels, levels - 1):
            yield f"a row of {content.role} for each of {levels} levels", content.array.shape
    yield from _decoded(contents, item.draft.decoded_bytes)


def _offered(draft: Draft, offer: Candidate) -> Iterator[Broken]:
    """Return where a layer is not what its offer says and draws up, this time like the last."""
    fresh = offer.draft()
    for part in ("args", "levels", "scratch_bytes", "decoded_bytes", "storage", "overlaps"):
        found, wanted = getattr(draft, part), getattr(fresh, part)
        if found != wanted:
            yield f"{part} as the offer draws them up, {wanted}", found
    roles, wanted_roles = ([(it.role, it.level) for it in of.contents] for of in (draft, fresh))
    if roles != wanted_roles:
        yield f"members as the offer draws them up, {wanted_roles}", roles
        return
    for content, drawn in zip(draft.contents, fresh.contents, strict=True):
        if _kind(content) != _kind(drawn):
            yield f"{content.role} as the offer draws it up, {_kind(drawn)}", _kind(content)
        if not np.array_equal(content.array, drawn.array):
            yield f"the elements of {content.role} as drawn up", content.array.reshape(-1)[:8]
    coded = frozenset(content.coded.codec for content in draft.contents if content.coded)
    said = (offer.storage or draft.storage, offer.area_bytes, offer.codecs)
    if said != (draft.storage, draft.decoded_bytes, coded):
        yield f"the offer's storage, area and codecs, {said}", draft.storage
    stored = sum(part.array.nbytes for part in draft.contents if part.role in ROLES)
    if offer.storage and offer.stored_bytes != stored:
        yield f"the offer's bytes of weights and positions, {offer.stored_bytes}", stored


def _kind(content: Content) -> tuple[object, ...]:
    """Return what a member is, beside its role, level and elements."""
    array = content.array
    return content.align_bytes, content.coded, content.by_level, array.dtype, array.shape


def _decoded(contents: Iterable[Content], area_bytes: int) -> Iterator[Broken]:
    """Return what is wrong with the area that a layer's streams are decoded into."""
    coded = [(content.role, content.coded) for content in contents if content.coded is not None]
    end = max((how.offset_bytes + how.decoded_bytes for _, how in coded), default=0)
    if end != area_bytes:
        yield "a decoded area that ends with the last stream", (area_bytes, end)
    placed = sorted((how.offset_bytes, how.decoded_bytes, role) for role, how in coded)
    for (offset, size, _), (after, _, role) in pairwise(placed):
        if offset + size > after:
            yield f"decoded {role} where no other stream is", after
    for role, how in coded:
        if how.offset_bytes < 0 or (role == "weights" and how.offset_bytes % 4):
            yield "decoded weights on a word", how.offset_bytes


def memory(state: State) -> Iterator[Finding]:
    """After plan_memory: the plan is sound, and every layer reads what was written for it."""
    buffers = state.buffers
    assert buffers is not None
    if buffers.plan.arena_bytes < max(buffers.plan.peak_bytes, default=0):
        yield "arena", ("no less than any layer needs", buffers.plan.arena_bytes)
    if buffers.plan.arena_bytes % ALIGN_BYTES:
        yield "arena", (f"a multiple of {ALIGN_BYTES} bytes", buffers.plan.arena_bytes)
    yield from conflicts(buffers.all_requests, buffers.plan)
    missing = [name for name in _places(state, buffers) if name not in buffers.plan.offset_bytes]
    if missing:
        yield missing[0], ("a place in the arena", "none")
        return
    uses = [
        Use(
            item.op.name,
            tuple(buffers.value(name) for name in item.op.inputs),
            buffers.value(item.op.output),
            buffers.scratch(item.op.name, item.draft.scratch_bytes),
            buffers.decoded(item.op.name, item.draft.decoded_bytes),
            item.draft.overlaps,
        )
        for item in state.layers
    ]
    yield from Simulation(buffers, state.target.decode == LEVEL).run(uses)
    offsets = buffers.plan.offset_bytes
    ends = (offsets[item.name] + item.size_bytes for item in buffers.all_requests)
    end = round_up(max(ends, default=0), ALIGN_BYTES)
    if buffers.plan.arena_bytes != end:
        yield "arena", (f"the end of the last area, {end}", buffers.plan.arena_bytes)


def _places(state: State, buffers: Buffers) -> Iterator[str]:
    """Yield the names of all that has to lie in the arena."""
    outside = buffers.callers
    for name in (*state.graph.inputs, *state.graph.outputs):
        if buffers.root[name] not in outside:
            yield buffers.root[name]
    for item in state.layers:
        for name in (*item.op.inputs, item.op.output):
            if buffers.root[name] not in outside:
                yield buffers.root[name]
        if item.draft.scratch_bytes:
            yield f"{item.op.name}.scratch"
        if item.draft.decoded_bytes:
            yield f"{item.op.name}.decoded"


def image(state: State) -> Iterator[Finding]:
    """After lay_out_image: every member once, aligned, without gaps, and its bytes in place."""
    assert state.image is not None
    members, content = state.image.members, state.image.content
    parts = [
        ((item.op.name, part.role, id(part.array)), part)
        for item in state.layers
        for part in item.draft.contents
    ]
    wanted = Counter(key for key, _ in parts)
    found = Counter((member.layer, member.role, id(member.array)) for member in members)
    for layer, role, _ in (wanted - found) + (found - wanted):
        yield layer, (f"its {role} in the image once", found.total())
    drawn = dict(parts)
    names = Counter(member.name for member in members)
    end = 0
    for member in members:
        if names[member.name] > 1 or not C_NAME.fullmatch(member.name):
            yield member.layer, ("members with C names of their own", member.name)
        if member.offset_bytes != end:
            yield (
                member.layer,
                (f"{member.name} where the last member ends, at {end}", member.offset_bytes),
            )
        if member.offset_bytes % member.align_bytes:
            yield (
                member.layer,
                (f"{member.name} aligned to {member.align_bytes}", member.offset_bytes),
            )
        for broken in _member(member, drawn[member.layer, member.role, id(member.array)]):
            yield member.layer, broken
        end = member.offset_bytes + member.size_bytes
        stored = content[member.offset_bytes : end]
        if stored != member.array.astype(member.array.dtype.newbyteorder("<")).tobytes():
            yield member.layer, (f"the bytes of {member.name}, little endian", stored[:8].hex())
    size = max(round_up(end, IMAGE_ALIGN_BYTES), IMAGE_ALIGN_BYTES)
    if len(content) != size or any(content[end:]):
        yield "image", (f"{size} bytes, zeros after the last member", len(content))


def _member(member: Member, part: Content) -> Iterator[Broken]:
    """Return where a member is not what the layer's draft says of it."""
    if member.c_type != f"{part.array.dtype.name}_t":
        yield f"{member.name} of type {part.array.dtype.name}_t", member.c_type
    for what in ("align_bytes", "coded", "by_level"):
        found, wanted = getattr(member, what), getattr(part, what)
        if found != wanted:
            yield f"{what} of {member.name} as drawn up, {wanted}", found


def calls(state: State) -> Iterator[Finding]:
    """After make_calls: a call per layer, with its own members, its buffers and its arguments."""
    assert state.image is not None and state.buffers is not None
    names = [call.name for call in state.calls]
    if names != [item.op.name for item in state.layers]:
        yield "list", ("a call per layer, in order", names)
        return
    owners = Counter(id(member) for call in state.calls for member in call.all_members())
    for member in state.image.members:
        if owners[id(member)] != 1:
            yield member.layer, (f"{member.name} in one call", owners[id(member)])
    c_names = Counter(call.c_name for call in state.calls)
    for index, (call, item) in enumerate(zip(state.calls, state.layers, strict=True)):
        if c_names[call.c_name] > 1 or not C_NAME.fullmatch(call.c_name):
            yield call.name, ("a C name of its own", call.c_name)
        for broken in _call(index, call, item, state):
            yield call.name, broken
    uses = [
        Use(call.name, call.inputs, call.output, call.scratch, call.decoded, item.draft.overlaps)
        for call, item in zip(state.calls, state.layers, strict=True)
    ]
    yield from Simulation(state.buffers, state.target.decode == LEVEL).run(uses)


def _call(index: int, call: Call, item: Lowered, state: State) -> Iterator[Broken]:
    graph = state.graph
    if call.index != index:
        yield f"index {index}", call.index
    draft = item.draft
    if (call.op, call.kernel, call.args) != (item.op, item.kernel, draft.args):
        yield "the op, kernel and arguments of its layer", call.kernel
    if (call.reason, call.storage, call.levels) != (item.reason, draft.storage, draft.levels):
        yield "the reason, storage and costs of its layer", (call.reason, call.storage, call.levels)
    shapes = (graph.value(item.op.inputs[0]).shape, graph.value(item.op.output).shape)
    if (call.in_shape, call.out_shape) != shapes:
        yield f"the shapes of the graph, {shapes}", (call.in_shape, call.out_shape)
    if [stream.level for stream in call.streams] not in ([], list(range(len(graph.levels)))):
        yield "a stream per level, or none", [stream.level for stream in call.streams]
    yield from _held(call, draft)
    for name, buffer in zip(
        (*item.op.inputs, item.op.output), (*call.inputs, call.output), strict=True
    ):
        size = prod(graph.value(name).shape)
        if (buffer.value, buffer.size_bytes) != (name, size):
            yield f"a buffer of {name} with {size} bytes", (buffer.value, buffer.size_bytes)
        if buffer.place != "arena" and buffer.offset_bytes:
            yield f"the whole {buffer.place} buffer", buffer.offset_bytes
    for area, size in (
        (call.scratch, item.draft.scratch_bytes),
        (call.decoded, item.draft.decoded_bytes),
    ):
        if (0 if area is None else area.size_bytes) != size:
            yield f"a work area of {size} bytes", area


def _held(call: Call, draft: Draft) -> Iterator[Broken]:
    """Return the members of a call that are not what the place in which it holds them says."""
    held: dict[tuple[str, int | None], Member] = {
        (role, None): member for role, member in call.members.items()
    }
    for stream in call.streams:
        held["positions", stream.level] = stream.positions
        held["weights", stream.level] = stream.weights
    parts = {(part.role, part.level): part for part in draft.contents}
    if held.keys() != parts.keys():
        yield f"members for {sorted(parts, key=str)}", sorted(held, key=str)
        return
    for (role, level), member in held.items():
        name = "_".join([call.c_name, role, *([] if level is None else [str(level)])])
        if (member.layer, member.role, member.name) != (call.name, role, name):
            yield f"{name} as the {role} of {call.name}", member.name
        if member.array is not parts[role, level].array:
            yield f"the elements of {name}", member.array.reshape(-1)[:8]
