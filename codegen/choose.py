"""Choose between nested and dense storage for a layer and lay its weights out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codegen import cost
from codegen.codecs import dense, nested
from codegen.ir import Conv2D, Linear
from codegen.lowering import FieldSpec
from codegen.weighted import as_patches, effective_levels, level_weight


@dataclass(frozen=True, eq=False)
class Storage:
    """How a layer's weights are stored, and why."""

    nested: bool
    reason: str
    fields: tuple[FieldSpec, ...]
    level_bytes: tuple[int, ...]
    """Bytes of weights and positions each level reads."""
    units: tuple[int, ...]
    """Stored units each level walks: groups, or words of four dense weights; all channels."""
    channels: int
    """Input channels of the patch buffer."""

    def tiles(self, group_size: int) -> Mapping[int, cost.TileCost]:
        """Return the costs of this storage's tiles by output columns."""
        return cost.NESTED[group_size] if self.nested else cost.DENSE


def choose_storage(op: Conv2D | Linear, levels: int) -> Storage:
    """Return the cheaper correct storage of ``op``.

    A layer whose levels differ can only be nested: dense weights hold one level. Where all levels
    are the same weights, it is nested if that takes fewer bytes or fewer instructions a column.
    """
    if op.group_level is None:
        return _dense(op, levels, "the layer is dense at every level")
    as_nested = _nested(op, levels)
    if effective_levels(op) - {0}:
        return as_nested
    as_dense = _dense(op, levels, "")
    nested_bytes, dense_bytes = as_nested.level_bytes[-1], as_dense.level_bytes[-1]
    nested_work = _column_instructions(as_nested, op.group_size)
    dense_work = _column_instructions(as_dense, op.group_size)
    text = (
        f"all levels share one weight set; nested {nested_bytes} bytes and {nested_work:.0f} "
        f"modelled instructions a column, dense {dense_bytes} bytes and {dense_work:.0f}"
    )
    if nested_bytes < dense_bytes or nested_work < dense_work:
        return _with_reason(as_nested, text)
    return _with_reason(as_dense, text)


def _column_instructions(storage: Storage, group_size: int) -> float:
    """Return the fewest instructions any tile spends on weights per output column."""
    tiles = storage.tiles(group_size)
    return storage.units[-1] * min(cost.unit / tile for tile, cost in tiles.items())


def _with_reason(storage: Storage, reason: str) -> Storage:
    return Storage(
        storage.nested,
        reason,
        storage.fields,
        storage.level_bytes,
        storage.units,
        storage.channels,
    )


def _dense(op: Conv2D | Linear, levels: int, reason: str) -> Storage:
    weight, _ = as_patches(op)
    kept = level_weight(op, levels - 1).reshape(weight.shape)
    channels = _dense_channels(op)
    rows = dense.encode(kept, channels)
    return Storage(
        nested=False,
        reason=reason,
        fields=(FieldSpec("weights", rows, 4),),
        level_bytes=(rows.size,) * levels,
        units=(rows.size // 4,) * levels,
        channels=channels,
    )


def _dense_channels(op: Conv2D | Linear) -> int:
    in_c = int(op.weight.shape[-1])
    if isinstance(op, Linear):
        return in_c
    return dense.padded_channels(in_c, int(op.weight.shape[1]), op.stride)


def _nested(op: Conv2D | Linear, levels: int) -> Storage:
    weight, group_level = as_patches(op)
    assert group_level is not None
    streams = nested.encode(weight, op.group_size, group_level, levels)
    fields: list[FieldSpec] = []
    align = 1 if op.group_size == 1 else 4
    for level, stream in enumerate(streams):
        fields.append(FieldSpec("positions", stream.positions, 1, level))
        fields.append(FieldSpec("weights", stream.weights, align, level))
    sizes = np.cumsum([stream.size_bytes for stream in streams])
    counts = np.cumsum([len(stream.positions) for stream in streams])
    dense_rows = dense.row_bytes(weight.shape[1], weight.shape[2], _dense_channels(op))
    reason = (
        f"levels differ: nested family {int(sizes[-1])} bytes, one dense level alone "
        f"{dense_rows * weight.shape[0]}"
    )
    return Storage(
        nested=True,
        reason=reason,
        fields=tuple(fields),
        level_bytes=tuple(int(size) for size in sizes),
        units=tuple(int(count) for count in counts),
        channels=nested.padded_channels(weight.shape[-1], op.group_size),
    )
