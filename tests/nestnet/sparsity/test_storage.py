"""What the flash budget counts is what code generation stores, whatever operators there are."""

from __future__ import annotations

import pytest

from codegen.lower import lowering
from codegen.lower.lowering import lower
from codegen.lower.pipeline import STEPS
from codegen.passes.skip_dead_channels import skip_dead_channels
from codegen.target.target import resolve
from nestnet.exporting.exporter import export
from nestnet.sparsity.levels import LevelMap
from nestnet.sparsity.storage import Storage
from tests.support.exports import PROVENANCE, levels, prepared
from tests.support.nets import CASES

TARGET = resolve("host", optimize="size", codecs="all")


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_every_byte_is_counted(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what only the finished numbers tell: channels that turn out to be dead, and tables
    that are the same at every level."""
    monkeypatch.setattr(
        lowering, "STEPS", [step for step in STEPS if step.name != skip_dead_channels.__name__]
    )
    case, group = CASES[index], (4, 2, 1)[index % 3]
    net, _ = prepared(case.build(), case.shape, group, seed=index)
    layers = {name: layer.module for name, layer in net.weighted().items()}
    maps = {
        name: LevelMap(layer.level_map, layer.group_size)
        for name, layer in layers.items()
        if layer.level_map is not None
    }
    program = lower(export(net, levels(), PROVENANCE, "net"), TARGET)
    tables = [layer for layer in program.layers if layer.kernel == "lookup"]
    shared = sum(256 * net.n_levels - table.flash_bytes for table in tables)
    assert Storage(net, "all").total(maps) - shared == len(program.image_bytes)
