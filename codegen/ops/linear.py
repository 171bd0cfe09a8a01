"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.graph.arithmetic import exact_dtype, requantize
from codegen.graph.ir import Graph, Int8Array, Linear, Shape, TfliteRequant
from codegen.kernels import cost
from codegen.kernels.in_place import any_overlap
from codegen.kernels.weighted import (
    check_cmsis_nn,
    check_weighted,
    cmsis_constants,
    keep_from_cmsis_nn,
    kept_macs,
    level_weight,
    requant_constants,
    table_bytes,
    table_fields,
)
from codegen.kernels.window import cmsis_scratch_bytes
from codegen.lower.storage_choice import Storage, choose_storage, storage_fields
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, FieldSpec, Options, round_up
from codegen.program.packed import LevelCost, WindowShape


class LinearRule(OpRule[Linear]):
    """Shape, reference, checks and kernel choice of :class:`codegen.graph.ir.Linear`."""

    def out_shape(self, op: Linear, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return (1, 1, out_c)."""
        return (1, 1, int(op.weight.shape[0]))

    def run(self, op: Linear, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Multiply the flattened input by the kept weights and requantize."""
        weight = level_weight(op, level)
        dtype = exact_dtype(weight)
        flat = inputs[0].reshape(len(inputs[0]), -1).astype(dtype)
        flat -= graph.value(op.input).zero_point
        acc = (flat @ weight.astype(dtype).T)[:, None, None, :]
        zero_point = graph.value(op.output).zero_point
        return requantize(acc, op.requant, level, zero_point, (op.act_min, op.act_max))

    def check(self, op: Linear, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about extents, weights and tables."""
        if op.weight.ndim != 2:
            yield "weight has 2 dimensions", op.weight.shape
            return
        height, width, channels = graph.value(op.input).shape
        if op.weight.shape[1] != height * width * channels:
            yield f"weight has {height * width * channels} inputs", op.weight.shape[1]
            return
        yield from check_weighted(op, graph)
        yield from check_cmsis_nn(op, graph)

    def macs(self, op: Linear, graph: Graph, level: int) -> int:
        """Return the weights kept at ``level``."""
        return kept_macs(op, 1, level)

    def lower(self, op: Linear, graph: Graph, options: Options) -> Draft:
        """Choose among the nested, dense and CMSIS-NN kernels."""
        levels = len(graph.levels)
        out_c, in_c = (int(extent) for extent in op.weight.shape)
        shape = WindowShape(1, 1, in_c, 1, 1, out_c, 1, 1, 1, 1, 0, 0)
        if isinstance(op.requant, TfliteRequant):
            return _lower_cmsis(op, graph, shape)

        def densest_cycles(storage: Storage) -> int:
            return _cycles(op, storage, levels - 1)

        storage = choose_storage(op, levels, options, densest_cycles)
        costs = tuple(
            LevelCost(
                macs=kept_macs(op, 1, level),
                cycles=_cycles(op, storage, level),
                weight_bytes=storage.level_bytes[level] + table_bytes(op, level, levels),
            )
            for level in range(levels)
        )
        draft = Draft(
            kernel="nested_linear" if storage.nested else "dense_linear",
            reason=storage.reason,
            fields=storage_fields(op, levels, storage) + table_fields(op, levels),
            levels=costs,
            scratch_bytes=round_up(2 * round_up(in_c, 4), 8),
            decoded_bytes=storage.area_bytes,
            storage=storage.name,
            shape=shape,
            requant=requant_constants(op, graph),
            group=op.group_size if storage.nested else 1,
            overlaps=(any_overlap(in_c),),
        )
        return keep_from_cmsis_nn(draft, op, graph, options)


def _cycles(op: Linear, storage: Storage, level: int) -> int:
    """Return the modelled cycles of a level."""
    out_c, in_c = (int(extent) for extent in op.weight.shape)
    tile = cost.NESTED[op.group_size][1] if storage.nested else cost.DENSE_LINEAR
    instructions = out_c * tile.fixed + in_c * cost.EXPAND_ELEMENT
    if storage.nested:
        instructions += out_c * cost.SEGMENT * level
    walked = storage.units[level] * tile.unit
    return cost.cycles(instructions + walked + storage.decode_instructions[level])


def _lower_cmsis(op: Linear, graph: Graph, shape: WindowShape) -> Draft:
    """Lower a dense layer to a 1x1 CMSIS-NN convolution with plain (out_c, in_c) weights.

    ``arm_fully_connected_s8`` takes one multiplier for all channels, our layers have one each.
    """
    levels = len(graph.levels)
    weights = level_weight(op, levels - 1)
    macs = kept_macs(op, 1, levels - 1)
    instructions = cost.cmsis_instructions(macs, shape.out_c, shape.out_c)
    level_cost = LevelCost(
        macs, cost.cycles(instructions), weights.size + table_bytes(op, 0, levels)
    )
    align = 4 if weights.size % 4 == 0 else 1
    return Draft(
        kernel="cmsis_linear",
        reason="dense at every level, handed to CMSIS-NN",
        fields=(FieldSpec("weights", weights, align), *table_fields(op, levels)),
        levels=(level_cost,) * levels,
        scratch_bytes=cmsis_scratch_bytes(shape, depthwise=False),
        storage="plain",
        shape=shape,
        cmsis=cmsis_constants(op, graph),
    )


register(Linear, LinearRule())
