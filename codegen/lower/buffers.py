"""Where each value and each work area of a layer lies while the network runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from codegen.graph.ir import Graph, Op
from codegen.lower.plan_decoded import plan_with_areas, room_bytes
from codegen.lower.plan_memory import Plan, Request
from codegen.program.call import Buffer, Place
from codegen.program.draft import Candidate, Draft, Overlap
from codegen.target.target import Decode


@dataclass(frozen=True, eq=False)
class Lowered:
    """An op that computes and what it is lowered to."""

    op: Op
    offer: Candidate
    """The chosen one."""
    reason: str
    """Why this one."""
    draft: Draft
    """What the offer draws up."""

    @property
    def kernel(self) -> str:
        """Return the kernel that computes it."""
        return self.offer.kernel


class Buffers:
    """Where each value and scratch area lives; values linked by reshapes share a buffer."""

    def __init__(self, graph: Graph, layers: tuple[Lowered, ...], decode: Decode) -> None:
        self.graph = graph
        self.root: dict[str, str] = {value.name: value.name for value in graph.values}
        for op in graph.ops:
            if op.is_view:
                self.root[op.output] = self.root[op.inputs[0]]
        self.inputs = {self.root[name] for name in graph.inputs}
        self.outputs = {self.root[name] for name in graph.outputs}
        self.callers = self.inputs | self.outputs if graph.is_one_to_one else set()
        """Buffers that the caller of nn_run has; docs/adr/0012-several-inputs-and-outputs.md."""
        self.requests = self._requests(layers)
        self.areas = _decoded_areas(layers, decode)
        self._op_count = len(layers)

    @cached_property
    def plan(self) -> Plan:
        """Return where all of them lie: found when it is first asked for, which takes long."""
        return plan_with_areas(self.requests, self.areas, self._op_count)

    def value(self, name: str) -> Buffer:
        """Return the buffer of a value."""
        root = self.root[name]
        size = prod(self.graph.value(name).shape)
        place: Place = "arena"
        if root in self.callers:
            place = "input" if root in self.inputs else "output"
        offset = self.plan.offset_bytes[root] if place == "arena" else 0
        return Buffer(name, place, offset, size)

    def scratch(self, layer: str, size_bytes: int) -> Buffer | None:
        """Return a layer's scratch area, None if it takes none."""
        if not size_bytes:
            return None
        return self._area(_scratch_name(layer), size_bytes)

    def decoded(self, layer: str, size_bytes: int) -> Buffer | None:
        """Return where a layer's coded streams are decoded, None if it has none."""
        return self._area(_decoded_name(layer), size_bytes) if size_bytes else None

    @property
    def all_requests(self) -> tuple[Request, ...]:
        """Return all that the plan has a place for."""
        return (*self.requests, *self.areas)

    def room_bytes(self, index: int) -> int:
        """Return the arena bytes free while layer ``index`` runs, in one piece."""
        return room_bytes(self.requests, self.plan, index)

    def _area(self, name: str, size_bytes: int) -> Buffer:
        return Buffer(name, "arena", self.plan.offset_bytes[name], size_bytes)

    def _requests(self, layers: tuple[Lowered, ...]) -> list[Request]:
        first = dict.fromkeys(sorted(self.inputs), 0)
        last: dict[str, int] = {}
        requests = []
        for index, item in enumerate(layers):
            first[self.root[item.op.output]] = index
            for name in (item.op.output, *item.op.inputs):
                last[self.root[name]] = index
            if item.draft.scratch_bytes:
                name = _scratch_name(item.op.name)
                requests.append(Request(name, item.draft.scratch_bytes, index, index))
        last |= dict.fromkeys(self.outputs, len(layers))  # no layer is the last to need it
        for root in first:
            if root not in self.callers:
                size = prod(self.graph.value(root).shape)
                over: dict[str, Overlap] = {}
                if root not in self.inputs:
                    over = self._over(layers[first[root]], first[root], last)
                requests.append(Request(root, size, first[root], last[root], over))
        return requests

    def _over(self, item: Lowered, index: int, last: dict[str, int]) -> dict[str, Overlap]:
        """Return the buffers that layer ``index`` reads last and may write its output over."""
        over: dict[str, Overlap] = {}
        forbidden: set[str] = set()
        overlaps = item.draft.overlaps
        for position, name in enumerate(item.op.inputs):
            root = self.root[name]
            rule = overlaps[position] if position < len(overlaps) else None
            if rule is None or root in self.callers or last[root] != index:
                forbidden.add(root)
            else:
                over[root] = rule.both(over.get(root, rule))
        return {root: rule for root, rule in over.items() if root not in forbidden}


def _scratch_name(layer: str) -> str:
    return f"{layer}.scratch"


def _decoded_name(layer: str) -> str:
    return f"{layer}.decoded"


def _decoded_areas(layers: tuple[Lowered, ...], decode: Decode) -> list[Request]:
    """Return a request per layer with coded streams: while it runs, or always."""
    return [
        Request(
            _decoded_name(item.op.name),
            item.draft.decoded_bytes,
            index if decode == "inference" else 0,
            index if decode == "inference" else len(layers) - 1,
        )
        for index, item in enumerate(layers)
        if item.draft.decoded_bytes
    ]
