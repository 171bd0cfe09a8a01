"""What the fully connected kernels share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op, Requant
from codegen.graph.ops.linear import Linear
from codegen.graph.weighted import kept_macs
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import any_overlap
from codegen.kernels.common.shape import WindowShape
from codegen.kernels.common.storage import Storage, storage_contents
from codegen.kernels.common.tables import table_bytes, table_contents
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Draft, round_up


def takes_rows(op: Op) -> bool:
    """Return whether ``op`` is a linear layer under the nestnet rule."""
    return isinstance(op, Linear) and isinstance(op.requant, Requant)


def linear_shape(op: Linear) -> WindowShape:
    """Return the extents of a linear layer: 1x1 on a 1x1 map."""
    out_c, in_c = (int(extent) for extent in op.weight.shape)
    return WindowShape(1, 1, in_c, 1, 1, out_c, 1, 1, 1, 1, 0, 0)


@dataclass(frozen=True)
class RowRules:
    """What a fully connected kernel does in its own way."""

    row: cost.TileCost
    """Instructions of an output channel."""
    segment: float
    """More per output channel and level above the first: entering another segment."""
    more: Callable[[int, int, int], float]
    """Instructions given out_c, in_c and the level that a bound needs and all storages share."""


def linear_cycles(op: Linear, storage: Storage, rules: RowRules, level: int) -> int:
    """Return the modelled cycles of ``level``."""
    out_c, in_c = (int(extent) for extent in op.weight.shape)
    instructions = out_c * rules.row.fixed + in_c * cost.EXPAND_ELEMENT
    instructions += out_c * rules.segment * level
    walked = storage.units[level] * rules.row.unit
    return cost.cycles(instructions + walked + storage.decode_instructions[level])


def linear_draft(op: Linear, graph: Graph, storage: Storage, rules: RowRules, args: Args) -> Draft:
    """Return the call of a fully connected kernel."""
    levels = len(graph.levels)
    out_c, in_c = (int(extent) for extent in op.weight.shape)
    costs = tuple(
        LevelCost(
            macs=kept_macs(op, 1, level),
            cycles=linear_cycles(op, storage, rules, level)
            + cost.cycles(cost.LAYER_START + rules.more(out_c, in_c, level)),
            weight_bytes=storage.level_bytes[level] + table_bytes(op, level, levels),
        )
        for level in range(levels)
    )
    return Draft(
        args=args,
        contents=storage_contents(storage) + table_contents(op, levels),
        levels=costs,
        scratch_bytes=round_up(2 * round_up(in_c, 4), 8),
        decoded_bytes=storage.area_bytes,
        storage=storage.name,
        overlaps=(any_overlap(in_c),),
    )
