"""The rules of a convolution whose map exists row by row only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from codegen.graph.ir import Graph
from codegen.graph.joined import JoinedConv, Part, Steps
from codegen.graph.verify import VerifyError, verify
from tests.support.joined_nets import all_joined, parts_graph

GRAPH = all_joined(parts_graph())
AT = [op.name for op in GRAPH.ops].index("conv5")
OP = GRAPH.ops[AT]
assert isinstance(OP, JoinedConv)
ENLARGED, PLAIN = OP.parts
MAP = OP.map


def broken(**changes: Any) -> Graph:
    """Return the network with another layer 2: two parts of a 12 x 15 map, and a residual."""
    ops = list(GRAPH.ops)
    ops[AT] = replace(OP, **changes)
    return replace(GRAPH, ops=tuple(ops))


def part(of: Part, **changes: Any) -> dict[str, Any]:
    other = replace(of, **changes)
    return {"parts": tuple(other if item is of else item for item in OP.parts)}


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"parts": ()}, "parts of 12 channels in all"),
    ({"parts": (ENLARGED,)}, "parts of 12 channels in all"),
    (part(PLAIN, channels=0), "parts of 12 channels in all"),
    (part(ENLARGED, rows=Steps(0, 35, 0)), "loops go round at least once"),
    (part(ENLARGED, offset=1), r"got \(1, 210\), expected addresses are 0\.\.209"),
    (part(ENLARGED, offset=-1), r"got \(-1, 208\), expected addresses are 0\.\.209"),
    (part(ENLARGED, rows=Steps(2, -35, 0)), r"addresses are 0\.\.209"),
    (part(PLAIN, columns=Steps(1, 6, 0)), r"addresses are 0\.\.899"),
    ({"map": replace(MAP, zero_point=MAP.zero_point + 1)}, "has the map's scale and zero point"),
    ({"map": replace(MAP, name="other")}, "the convolution reads other as its input alone"),
    ({"map": replace(MAP, shape=(12, 14, 12))}, r"residual has the output's shape|the output has"),
]


@pytest.mark.parametrize(("changes", "rule"), BROKEN)
def test_a_broken_rule_is_named(changes: dict[str, Any], rule: str) -> None:
    verify(GRAPH)
    with pytest.raises(VerifyError, match=rule):
        verify(broken(**changes))


def test_the_rules_of_the_convolution_hold() -> None:
    assert isinstance(OP, JoinedConv)
    with pytest.raises(VerifyError, match="stride is at least 1"):
        verify(broken(body=replace(OP.body, stride=(0, 1))))


def test_inputs_are_renamed_wherever_they_are_read() -> None:
    assert isinstance(OP, JoinedConv)
    small, large = ENLARGED.source, PLAIN.source
    assert OP.inputs == (small, large, large)  # the last is the residual
    assert OP.reading({large: "x", MAP.name: MAP.name}).inputs == (small, "x", "x")


def test_files_hold_none() -> None:
    from codegen.graph.ops import OPERATORS

    assert "JoinedConv" not in OPERATORS
