"""The cycle model reproduces the instruction counts it was fitted to, and ranks tiles sensibly."""

from __future__ import annotations

import pytest

from codegen.graph.synthetic import conv_layer_graph
from codegen.kernels import KERNELS, dense_conv, nested_conv
from codegen.kernels.common import cost
from codegen.kernels.common.patches import PatchRules
from codegen.lower.lowering import lower
from codegen.target.target import resolve

# (group or None for dense, density) -> executed instructions on the emulated Cortex-M4.
COUNTED = {
    (4, 1.0): 3_224_499,
    (4, 0.25): 874_958,
    (2, 1.0): 3_445_683,
    (2, 0.25): 941_876,
    (1, 1.0): 6_274_555,
    (1, 0.25): 1_629_691,
    (None, 1.0): 2_600_441,
}


@pytest.mark.parametrize(("group", "density"), COUNTED)
def test_counted_layers_are_within_two_per_cent(group: int | None, density: float) -> None:
    counted = COUNTED[group, density]
    densities = None if group is None else (density * 0.9995, 1.0)
    graph = conv_layer_graph(16, 16, 32, 32, group=group or 1, densities=densities)
    (layer,) = lower(graph, resolve("host")).layers
    modelled = layer.levels[0].cycles / cost.CYCLES_PER_INSTRUCTION
    print(f"group {group} density {density}: counted {counted}, modelled {modelled:.0f}")
    assert modelled == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("rules", [*nested_conv.RULES.values(), dense_conv.RULES])
@pytest.mark.parametrize("out_w", [1, 2, 3, 4, 5, 6, 7, 13, 16, 31])
@pytest.mark.parametrize("units", [1, 18, 288])
def test_the_best_tile_is_the_cheapest_that_fits(rules: PatchRules, out_w: int, units: int) -> None:
    def row(tile: int) -> float:
        columns = rules.row(tile, out_w)
        assert sum(columns) == out_w
        copies = 1 + cost.SECOND_TILE * (len(set(columns)) - 1)
        return sum(tiles[each].fixed + tiles[each].unit * units for each in columns) * copies

    tiles = rules.tiles
    best = cost.best_tile(tiles, units, out_w, rules.row)
    assert best <= out_w
    assert all(row(best) <= row(tile) * (1 + 1e-9) for tile in tiles if tile <= out_w)


def test_rows_end_with_narrower_tiles() -> None:
    assert nested_conv.row_tiles(6, 16) == (6, 6, 4)
    assert dense_conv.row_tiles(3, 16) == (3, 3, 3, 3, 2, 2)
    assert dense_conv.row_tiles(3, 8) == (3, 3, 2)
    assert dense_conv.row_tiles(3, 4) == (2, 2)
    assert dense_conv.row_tiles(2, 5) == (2, 2, 1)
    assert nested_conv.row_tiles(4, 16) == (4, 4, 4, 4)


def test_wide_maps_take_the_scheduled_tiles() -> None:
    def best(rules: PatchRules, out_w: int) -> int:
        return cost.best_tile(rules.tiles, 50, out_w, rules.row)

    nested = [best(nested_conv.RULES[group], 16) for group in (4, 2, 1)]
    assert nested == [6, 6, 8]
    assert best(nested_conv.RULES[4], 8) == 4
    assert best(dense_conv.RULES, 16) == 3


def test_every_coefficient_is_read_by_a_kernel() -> None:
    """A misspelt or left-over key stands out; a missing one stops the import."""
    assert KERNELS and not cost.unread()
    with pytest.raises(ValueError, match=r"keys \['fixed'\] instead of \['fixed', 'unit'\]"):
        cost.tile_cost({"fixed": 1.0})
