"""Networks that are lowered with one step broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.verify import VerifyError
from codegen.lower import lowering
from codegen.lower.lowering import lower
from codegen.lower.pipeline import STEPS, Step
from codegen.lower.state import State
from codegen.target.target import resolve

SAME = (1, 1, 1, 1)


def network() -> Graph:
    """Return a network with coded streams, a residual, scratch, a view and a pool."""
    net = GraphBuilder((7, 5, 3), 3, 11)
    stem = net.conv("input", 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.2, 0.4))
    net.conv(stem, 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.3, 0.5), residual=stem)
    net.pool(net.last, MaxPool, (7, 5), (1, 1))
    net.reshape(net.last, (1, 1, 11))
    net.linear(net.last, 5, group=1, densities=(0.2, 0.4, 0.6))
    return net.graph()


def joined_network() -> Graph:
    """Return a network with two inputs, two outputs and a concatenation."""
    net = GraphBuilder((7, 5, 3), 3, 11)
    wide = net.conv("input", 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.2, 0.4))
    other = net.conv(net.input("other", (7, 5, 2)), 2, (1, 1))
    joined = net.concat((wide, other))
    return net.graph({joined: "map", wide: "map"})


def lower_broken(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    corrupt: Callable[[State], State],
    make: Callable[[], Graph] = network,
    **said: Any,
) -> VerifyError:
    """Return what is raised if ``corrupt`` goes over what the last step called ``name`` made."""

    def broken(step: Step) -> Step:
        return replace(step, run=lambda state: corrupt(step.run(state)))

    position = max(index for index, step in enumerate(STEPS) if step.name == name)
    steps = tuple(broken(step) if at == position else step for at, step in enumerate(STEPS))
    monkeypatch.setattr(lowering, "STEPS", steps)
    with pytest.raises(VerifyError) as caught:
        lower(make(), resolve("host", **said))
    assert caught.value.pass_name == name
    assert f"after {name}, {caught.value.node}: broken rule; got" in str(caught.value)
    return caught.value
