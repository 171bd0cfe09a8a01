"""Build an integer graph operator by operator, with random weights.

Every requantization is calibrated on random images, so outputs spread over the int8 range instead
of saturating. The same calls give the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from codegen.errors import UserError
from codegen.graph.ir import (
    Graph,
    Int8Array,
    Level,
    Meaning,
    OneInput,
    Op,
    Provenance,
    Residual,
    Shape,
    Value,
)
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.bilinear import Bilinear
from codegen.graph.ops.concat import Concat
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.lookup import Lookup, make_table
from codegen.graph.ops.matmul import Matmul, make_multiplier
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.mul import Mul
from codegen.graph.ops.normalize import Normalize
from codegen.graph.ops.normalize import make_table as normalize_table
from codegen.graph.ops.pad import Pad
from codegen.graph.ops.rearrange import Loop, Rearrange
from codegen.graph.ops.reshape import Reshape
from codegen.graph.ops.softmax import Softmax
from codegen.graph.ops.softmax import make_table as softmax_table
from codegen.graph.pools import adaptive_kernel
from codegen.graph.random_weights import accumulators, placeholder, pruned, random_weights
from codegen.graph.requantize import FloatArray, make_requant
from codegen.graph.weighted import MAX_RESIDUAL_MULTIPLIER, accumulator_bound

INPUT_SCALE = 1 / 64
CALIBRATION_IMAGES = 4
SPREAD_STEPS = 40.0
"""Standard deviation a calibrated output has, in int8 steps."""

Padding = tuple[int, int, int, int]


class GraphBuilder:
    """Append operators one by one; each is calibrated on the values before it."""

    def __init__(self, shape: Shape, levels: int, seed: int, name: str = "synthetic") -> None:
        """Start with an input of ``shape``, called "input", and no operator."""
        self.rng = np.random.default_rng(seed)
        self.levels = levels
        self.name = name
        self.values: list[Value] = []
        self.ops: list[Op] = []
        self.inputs: list[str] = []
        self._samples: list[dict[str, Int8Array]] = [{} for _ in range(levels)]
        self.input("input", shape, "pixels")

    @property
    def last(self) -> str:
        """Return the name of the newest value."""
        return self.values[-1].name

    def shape(self, name: str) -> Shape:
        """Return the shape of a value."""
        return self._value(name).shape

    def input(self, name: str, shape: Shape, meaning: Meaning = "plain") -> str:
        """Add an input behind those there are; return its name."""
        self.values.append(Value(name, shape, (INPUT_SCALE,) * self.levels, 0, meaning))
        self.inputs.append(name)
        images = self.rng.integers(-128, 128, (CALIBRATION_IMAGES, *shape), dtype=np.int8)
        for samples in self._samples:
            samples[name] = images
        return name

    def zero_point(self, name: str) -> int:
        """Return the zero point of a value."""
        return self._value(name).zero_point

    def conv(
        self,
        source: str,
        out_c: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = (0, 0, 0, 0),
        groups: int = 1,
        group: int = 1,
        densities: Sequence[float] | None = None,
        residual: str | None = None,
        relu: bool = True,
    ) -> str:
        """Append a convolution; return its output's name."""
        in_c = self.shape(source)[2] // groups
        weight = random_weights(self.rng, (out_c, *kernel, in_c))
        weight, group, level = pruned(self.rng, weight, group, densities, whole=groups != 1)
        fused = None if residual is None else Residual(residual, np.zeros(self.levels, np.int32))
        op = Conv2D(
            name=f"conv{len(self.ops)}",
            input=source,
            output=f"value{len(self.ops)}",
            weight=weight,
            group_size=group,
            group_level=level,
            stride=stride,
            padding=padding,
            groups=groups,
            requant=placeholder(self.levels, out_c),
            act_min=-128,
            act_max=127 if self.rng.random() < 0.7 else int(self.rng.integers(40, 127)),
            residual=fused,
        )
        return self._append_weighted(op, relu)

    def linear(
        self,
        source: str,
        out_c: int,
        *,
        group: int = 1,
        densities: Sequence[float] | None = None,
        relu: bool = False,
    ) -> str:
        """Append a fully connected layer; return its output's name."""
        weight = random_weights(self.rng, (out_c, int(np.prod(self.shape(source)))))
        weight, group, level = pruned(self.rng, weight, group, densities)
        op = Linear(
            name=f"linear{len(self.ops)}",
            input=source,
            output=f"value{len(self.ops)}",
            weight=weight,
            group_size=group,
            group_level=level,
            requant=placeholder(self.levels, out_c),
            act_min=-128,
            act_max=127,
        )
        return self._append_weighted(op, relu)

    def add(self, first: str, second: str | Shape, *, relu: bool = False) -> str:
        """Append an addition; the second value has the first's shape, or 1 in place of extents. Of
        a shape alone it is a constant."""
        zero_point = -128 if relu else 0
        share = self.rng.uniform(0.3, 0.8, (self.levels, 2)) * 2**16
        multiplier = np.rint(share).astype(np.int32)
        names, constant = self._pair(first, second)
        inputs = [*(self._value(name).zero_point for name in names), 0][:2]
        offset = zero_point * 2**16 + 2**15 - multiplier.astype(np.int64) @ np.array(inputs)
        op = Add(
            name=f"add{len(self.ops)}",
            inputs=names,
            output=f"value{len(self.ops)}",
            multiplier=multiplier,
            offset=offset.astype(np.int32),
            shift=16,
            act_min=-128,
            act_max=127,
            constant=constant,
        )
        return self._append(op, self._scales(), zero_point)

    def _pair(self, first: str, second: str | Shape) -> tuple[tuple[str, ...], Int8Array | None]:
        """Return the names of what an operator reads, and the constant that it has of a shape."""
        if isinstance(second, str):
            return (first, second), None
        return (first,), self.rng.integers(-128, 128, second, dtype=np.int8)

    def mul(self, first: str, second: str | Shape, *, relu: bool = False) -> str:
        """Append a multiplication; operands as for :meth:`add`."""
        zero_point = -128 if relu else 0
        names, constant = self._pair(first, second)
        points = [*(self._value(name).zero_point for name in names), 0][:2]
        others = [constant if constant is not None else x[names[-1]] for x in self._samples]
        spread = [
            float(((x[first] - points[0]) * (other.astype(float) - points[1])).std())
            for x, other in zip(self._samples, others, strict=True)
        ]
        gain = SPREAD_STEPS / np.maximum(spread, SPREAD_STEPS)
        shift = min(22, int(np.log2(2**14 / gain.max())))
        op = Mul(
            name=f"mul{len(self.ops)}",
            inputs=names,
            output=f"value{len(self.ops)}",
            multiplier=np.rint(gain * 2**shift).clip(1, 2**14 - 1).astype(np.int32),
            offset=np.full(self.levels, zero_point * 2**shift + 2**shift // 2, np.int32),
            shift=shift,
            act_min=-128,
            act_max=127,
            constant=constant,
        )
        return self._append(op, self._scales(), zero_point)

    def matmul(self, first: str, second: str, *, by_columns: bool = False) -> str:
        """Append products: of each h, rows of the first value with rows or columns of the other."""
        ends = self._value(first), self._value(second)
        depth, index = ends[0].shape[2], len(self.ops)
        spread = [
            np.prod([(x[each.name] - float(each.zero_point)).std() for each in ends]) * depth**0.5
            for x in self._samples
        ]
        gains = [SPREAD_STEPS / max(float(each), SPREAD_STEPS) for each in spread]
        tables = make_multiplier(gains, depth * ends[0].span * ends[1].span)
        names = (first, second)
        op = Matmul(f"matmul{index}", names, f"value{index}", by_columns, *tables, -128, 127)
        return self._append(op, self._scales(), 0)

    def normalize(self, source: str, sizes: tuple[int, int], *, center: bool) -> str:
        """Append a normalization of sets of so many positions and channels."""
        scale, elements = self._scales(), sizes[0] * sizes[1]
        before = self._value(source).scale
        table = normalize_table(before, scale, elements, 1.0 if center else elements**0.5)
        index = len(self.ops)
        op = Normalize(f"normalize{index}", source, f"value{index}", *sizes, center, table)
        return self._append(op, scale, 0)

    def pool(
        self,
        source: str,
        kind: type[MaxPool] | type[AvgPool],
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: Padding = (0, 0, 0, 0),
        counted: Padding | None = None,
    ) -> str:
        """Append a pooling layer; an average counts all padding unless ``counted`` says less."""
        index, before = len(self.ops), self._value(source)
        window = (f"pool{index}", source, f"value{index}", kernel, stride, padding)
        op = MaxPool(*window) if kind is MaxPool else AvgPool(*window, counted or padding)
        return self._append(op, before.scale, before.zero_point)

    def adaptive_pool(
        self, source: str, kind: type[MaxPool] | type[AvgPool], size: tuple[int, int]
    ) -> str:
        """Append an adaptive pooling layer with an output of ``size``, height and width."""
        index, before = len(self.ops), self._value(source)
        height, width, channels = before.shape
        kernel = (adaptive_kernel(height, size[0]), adaptive_kernel(width, size[1]))
        window = (f"pool{index}", source, f"value{index}", kernel, (0, 0), (0, 0, 0, 0))
        op = MaxPool(*window) if kind is MaxPool else AvgPool(*window, (0, 0, 0, 0))
        return self._append(op, before.scale, before.zero_point, (*size, channels))

    def concat(self, sources: Sequence[str], axis: int = 2) -> str:
        """Append a concatenation of values of one zero point; all get an input's or one's scale."""
        linked = [name for source in sources for name in self._linked(source)]
        given = [name for name in self.inputs if name in linked]
        scale = self._value((*given, *sources)[0]).scale
        self._set_scales(linked, scale)
        index = len(self.ops)
        op = Concat(f"concat{index}", tuple(sources), f"value{index}", axis)
        return self._append(op, scale, self.zero_point(sources[0]))

    def bilinear(self, source: str, size: tuple[int, int], align_corners: int = 0) -> str:
        """Append a bilinear resizing to ``size``, height and width."""
        before = self._value(source)
        index = len(self.ops)
        op = Bilinear(f"bilinear{index}", source, f"value{index}", align_corners)
        return self._append(op, before.scale, before.zero_point, (*size, before.shape[2]))

    def reshape(self, source: str, shape: Shape) -> str:
        """Append a reshape."""
        return self._append_moved(Reshape, source, shape=shape)

    def pad(self, source: str, before: Shape, after: Shape) -> str:
        """Append zeros around h, w and c."""
        return self._append_moved(Pad, source, before, after)

    def rearrange(self, source: str, shape: Shape, offset: int, loops: Sequence[Loop]) -> str:
        """Append a rearrangement."""
        return self._append_moved(Rearrange, source, offset, tuple(loops), shape=shape)

    def lookup(self, source: str, function: Callable[[FloatArray], FloatArray]) -> str:
        """Append a table of a function of real numbers; no output saturates."""
        before = self._value(source)
        steps = np.arange(-128, 128) - before.zero_point
        real = np.abs(function(np.array(before.scale)[:, None] * steps))
        scale = tuple(float(largest) / 127 for largest in real.max(axis=1))
        target = Value(f"value{len(self.ops)}", before.shape, scale, 0)
        table = make_table(function, before, target)
        op = Lookup(f"lookup{len(self.ops)}", source, target.name, table)
        return self._append(op, scale, 0)

    def softmax(self, source: str, steps: Sequence[int] = ()) -> str:
        """Append a softmax with so many output steps for 1 at each level, 256 if nothing is said;
        its table takes the input scale of the densest level."""
        self._equal_scales(source)
        table = softmax_table(self._value(source).scale[-1])
        gain = tuple(steps) if steps else (256,) * self.levels
        index = len(self.ops)
        op = Softmax(f"softmax{index}", source, f"value{index}", table, gain)
        return self._append(op, tuple(1 / each for each in gain), -128)

    def graph(self, outputs: Mapping[str, Meaning] | None = None) -> Graph:
        """Return the graph.

        Args:
            outputs: names in order, and what they mean; None for the newest value, which means
                class scores if it is at one position and a map otherwise.

        Raises:
            UserError: nothing was appended.
        """
        if not self.ops:
            raise UserError(
                "graph builder",
                "empty graph",
                got="no operator",
                expected="at least one",
                action="Append an operator first",
            )
        if outputs is None:
            is_list = self.shape(self.last)[:2] == (1, 1)
            outputs = {self.last: "class_scores" if is_list else "map"}
        for name in outputs:
            self._equal_scales(name)
        values = tuple(
            replace(value, meaning=outputs.get(value.name, value.meaning)) for value in self.values
        )
        return self._graph(tuple(outputs), values, tuple(self.ops))

    def _value(self, name: str) -> Value:
        return next(value for value in self.values if value.name == name)

    def _scales(self) -> tuple[float, ...]:
        return tuple(float(scale) for scale in self.rng.uniform(0.01, 0.1, self.levels))

    def _equal_scales(self, name: str) -> None:
        """Give ``name``, and all that has its scale, one scale for all levels."""
        self._set_scales(self._linked(name), (self._value(name).scale[-1],) * self.levels)

    def _linked(self, name: str) -> set[str]:
        """Return the values that must have the scale of ``name``, itself among them."""
        grids = [{*op.inputs, op.output} for op in self.ops if op.keeps_grid]
        linked, before = {name}, set[str]()
        while linked != before:
            before = linked
            linked = linked.union(*(grid for grid in grids if grid & linked))
        return linked

    def _set_scales(self, names: Collection[str], scale: tuple[float, ...]) -> None:
        self.values = [
            replace(value, scale=scale) if value.name in names else value for value in self.values
        ]

    def _density(self, level: int) -> float:
        maps = [
            op.group_level
            for op in self.ops
            if isinstance(op, Conv2D | Linear) and op.group_level is not None
        ]
        if not maps:
            return 1.0
        return float(np.mean(np.concatenate([item.ravel() for item in maps]) <= level))

    def _append_weighted(self, op: Conv2D | Linear, relu: bool) -> str:
        """Calibrate the requantization so that outputs spread, then append."""
        spread, mean = self._accumulator_statistics(op)
        out_c = op.weight.shape[0]
        sign = np.where(self.rng.random(out_c) < 0.1, -1.0, 1.0)
        jitter = self.rng.uniform(0.7, 1.3, (self.levels, out_c))
        multiplier = sign * jitter * SPREAD_STEPS / spread
        zero_point = -128 if relu else 0
        centre = self.rng.uniform(-20, 40, out_c) + self.rng.uniform(-4, 4, (self.levels, 1))
        bias = centre + zero_point - multiplier * mean
        bias = bias.clip(bias[-1] - 100, bias[-1] + 100).clip(-250, 250)
        bound = accumulator_bound(op, self.levels - 1, self._value(op.input).span)
        requant = make_requant(multiplier, bias, bound)
        op = replace(op, requant=requant)
        if isinstance(op, Conv2D) and op.residual is not None:
            share = self.rng.uniform(0.2, 0.8, self.levels) * 2.0 ** (16 + requant.fraction_bits)
            table = np.minimum(np.rint(share), MAX_RESIDUAL_MULTIPLIER - 1).astype(np.int32)
            op = replace(op, residual=replace(op.residual, multiplier=table))
        return self._append(op, self._scales(), zero_point)

    def _accumulator_statistics(self, op: Conv2D | Linear) -> tuple[FloatArray, FloatArray]:
        """Return standard deviation and mean (levels, out_c) of the accumulators."""
        partial = self._with(op, (1.0,) * self.levels, 0, None)
        spread, mean = [], []
        for level, samples in enumerate(self._samples):
            acc = accumulators(op, partial, samples[op.input], level)
            flat = acc.reshape(-1, acc.shape[-1])
            spread.append(flat.std(axis=0))
            mean.append(flat.mean(axis=0))
        floor = max(float(np.max(spread)), 100.0) / 20
        return np.maximum(np.array(spread, np.float64), floor), np.array(mean, np.float64)

    def _with(
        self, op: Op, scale: tuple[float, ...], zero_point: int, shape: Shape | None
    ) -> Graph:
        """Return the graph so far plus ``op``; ``shape`` is for ops that do not fix theirs."""
        shapes = tuple(self.shape(name) for name in op.inputs)
        shape = op.out_shape(shapes) or shape
        assert shape is not None
        output = Value(op.output, shape, scale, zero_point)
        return self._graph((op.output,), (*self.values, output), (*self.ops, op))

    def _graph(
        self, outputs: tuple[str, ...], values: tuple[Value, ...], ops: tuple[Op, ...]
    ) -> Graph:
        levels = tuple(
            Level(f"L{index}", round(1 - self._density(index), 4), None, None)
            for index in range(self.levels)
        )
        return Graph(
            self.name,
            tuple(self.inputs),
            outputs,
            values,
            ops,
            levels,
            Provenance("synthetic", "0" * 64, self.name, "random", ()),
        )

    def _append_moved(
        self, kind: type[OneInput], source: str, *fields: object, shape: Shape | None = None
    ) -> str:
        """Append an operator that only moves what ``source`` holds."""
        name, before = kind.__name__.lower(), self._value(source)
        op = kind(f"{name}{len(self.ops)}", source, f"value{len(self.ops)}", *fields)
        return self._append(op, before.scale, before.zero_point, shape)

    def _append(
        self, op: Op, scale: tuple[float, ...], zero_point: int, shape: Shape | None = None
    ) -> str:
        graph = self._with(op, scale, zero_point, shape)
        for level, samples in enumerate(self._samples):
            inputs = tuple(samples[name] for name in op.inputs)
            samples[op.output] = op.run(graph, inputs, level)
        self.values.append(graph.values[-1])
        self.ops.append(op)
        return op.output
