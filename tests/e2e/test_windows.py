"""Modules that slide windows in every way there is: from PyTorch to the same bits in C."""

from __future__ import annotations

import pytest

from codegen.graph.verify import verify
from codegen.measure import compare
from nestnet.exporting.exporter import export
from tests.support.exports import DENSITIES, PROVENANCE, int8, levels, prepared
from tests.support.nets import CASES, trained_like
from tests.support.projects import Build

PATTERNS = ("samples", "pools", "reductions", "dilated", "upwards")


@pytest.mark.parametrize("index", range(len(PATTERNS)), ids=PATTERNS)
def test_the_emulated_core_equals_the_reference(build: Build, index: int) -> None:
    case = next(case for case in CASES if case.name == PATTERNS[index])
    net, pixels = prepared(trained_like(case), case.shape, (4, 2, 1)[index % 3], seed=index)
    graph = verify(export(net, levels(), PROVENANCE, f"windows_{index}"))
    images = int8(pixels[:3])
    made = compare.compare(
        build(graph, "qemu_m4"), graph, (images,), [0, 1, 2], range(len(DENSITIES))
    )
    assert made.bit_exact, "\n".join(map(str, made.differences))
