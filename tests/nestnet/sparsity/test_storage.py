"""What the flash budget counts is what code generation stores, whatever operators there are."""

from __future__ import annotations

import pytest

from codegen.lower.lowering import lower
from codegen.target.target import resolve
from nestnet.exporting.exporter import export
from nestnet.sparsity.levels import LevelMap
from nestnet.sparsity.storage import Storage
from tests.support.exports import PROVENANCE, levels, prepared
from tests.support.nets import CASES

TARGET = resolve("host", optimize="size", codecs="all")


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_every_byte_is_counted(index: int) -> None:
    case, group = CASES[index], (4, 2, 1)[index % 3]
    net, _ = prepared(case.build(), case.shape, group, seed=index)
    layers = {name: layer.module for name, layer in net.weighted().items()}
    maps = {
        name: LevelMap(layer.level_map, layer.group_size)
        for name, layer in layers.items()
        if layer.level_map is not None
    }
    program = lower(export(net, levels(), PROVENANCE, "net"), TARGET)
    counted, stored = Storage(net, "all").total(maps), len(program.image_bytes)
    tables = sum(layer.kernel == "lookup" for layer in program.layers)
    if tables:  # a row for every level is counted, and one stored where the levels agree
        assert stored <= counted <= stored + 512 * tables
    else:
        assert counted == stored
