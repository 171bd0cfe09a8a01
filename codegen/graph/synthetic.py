"""Build valid integer graphs without training: test subjects and untrained examples.

The same arguments give the same graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from codegen.graph.builder import GraphBuilder, Padding
from codegen.graph.ir import Graph, Int8Array, Meaning, Shape
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.softmax import MAX_CHANNELS

MEANINGS: tuple[Meaning, ...] = get_args(Meaning)


def random_images(graph: Graph, count: int, seed: int) -> Int8Array:
    """Return ``count`` uniformly random int8 images (n, h, w, c) for a graph with one input.

    Raises:
        UserError: it has several.
    """
    assert graph.only_input
    return random_inputs(graph, count, seed)[0]


def random_inputs(graph: Graph, count: int, seed: int) -> tuple[Int8Array, ...]:
    """Return ``count`` uniformly random int8 samples (n, h, w, c) for every input of ``graph``."""
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(-128, 128, (count, *shape), dtype=np.int8)
        for shape in graph.shapes(graph.inputs)
    )


def conv_layer_graph(
    height: int,
    width: int,
    in_c: int,
    out_c: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    stride: tuple[int, int] = (1, 1),
    padding: Padding | None = None,
    groups: int = 1,
    group: int = 4,
    densities: Sequence[float] | None = (0.1, 0.25, 0.5, 1.0),
    levels: int | None = None,
    residual: bool = False,
    relu: bool = True,
    seed: int = 0,
) -> Graph:
    """Return a graph of one convolution.

    Args:
        height, width, in_c: input shape.
        out_c: output channels.
        kernel: height and width.
        stride: vertical and horizontal.
        padding: top, left, bottom, right; None for ``kernel // 2`` before and what is left of
            ``kernel - 1`` after.
        groups: convolution groups.
        group: G of the nested groups.
        densities: kept share per level, rising; None for a dense layer.
        levels: number of levels of a dense layer; 1 if None.
        residual: add the input in the epilogue; shapes must agree.
        relu: output zero point -128 instead of 0.
        seed: of weights and calibration.
    """
    count = len(densities) if densities is not None else levels or 1
    builder = GraphBuilder((height, width, in_c), count, seed, "conv_layer")
    if padding is None:
        before = (kernel[0] // 2, kernel[1] // 2)
        padding = (*before, kernel[0] - 1 - before[0], kernel[1] - 1 - before[1])
    builder.conv(
        "input",
        out_c,
        kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        group=group,
        densities=densities,
        residual="input" if residual else None,
        relu=relu,
    )
    return builder.graph()


def linear_layer_graph(
    in_c: int,
    out_c: int,
    *,
    group: int = 4,
    densities: Sequence[float] | None = (0.1, 0.25, 0.5, 1.0),
    levels: int | None = None,
    seed: int = 0,
) -> Graph:
    """Return a graph of one fully connected layer; arguments as :func:`conv_layer_graph`."""
    count = len(densities) if densities is not None else levels or 1
    builder = GraphBuilder((1, 1, in_c), count, seed, "linear_layer")
    builder.linear("input", out_c, group=group, densities=densities)
    return builder.graph()


def random_graph(
    seed: int,
    *,
    levels: int | None = None,
    group: int | None = None,
    blocks: int = 4,
    largest: int = 13,
    inputs: int = 1,
    outputs: int = 1,
) -> Graph:
    """Return a random graph that mixes every operator, odd shapes included.

    Args:
        seed: decides everything that the other arguments leave open.
        levels: 1..4; drawn if None.
        group: G of all nested layers, 1, 2 or 4; drawn per layer if None.
        blocks: operators before the classifier.
        largest: largest input height, width and channel count.
        inputs: at least 1; those after the first are added to values on the way.
        outputs: at least 1; those after the first are inner values, views of other outputs or
            values nothing else reads.
    """
    return _RandomGraph(seed, levels, group, largest).build(blocks, inputs, outputs)


class _RandomGraph:
    """The random choices of :func:`random_graph`."""

    def __init__(self, seed: int, levels: int | None, group: int | None, largest: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.levels = levels or self._pick(1, 4)
        self.group = group
        self.largest = largest
        shape = (self._pick(1, largest), self._pick(1, largest), self._pick(1, min(largest, 7)))
        self.builder = GraphBuilder(shape, self.levels, seed, f"random_{seed}")

    def build(self, blocks: int, inputs: int, outputs: int) -> Graph:
        """Append ``blocks`` random operators and a classifier."""
        kinds = (
            *(self._conv, self._conv, self._depthwise, self._grouped),
            *(self._sum, self._pool, self._lookup, self._concat, self._gate, self._normalize),
            *(self._rearrange, self._bilinear, self._pad),
        )
        self._conv()
        for block in range(max(blocks, inputs - 1)):
            if block < inputs - 1:
                self._another_input()
            if block < blocks:
                kinds[self._pick(0, len(kinds) - 1)]()
        self._classifier()
        return self.builder.graph(self._outputs(outputs) if outputs > 1 else None)

    def _pick(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _prune(self) -> tuple[int, list[float] | None]:
        """Return a group size and rising densities, sometimes equal, sometimes None (dense)."""
        if self._chance(0.25):
            return 1, None
        group = self.group or int(self.rng.choice([1, 2, 4]))
        densities = sorted(float(share) for share in self.rng.uniform(0.02, 0.9, self.levels))
        if self._chance(0.15):
            densities = [densities[0]] * self.levels
        return group, densities

    def _window(self, sizes: tuple[int, ...]) -> tuple[tuple[int, int], Padding]:
        """Return a kernel and a padding that fit the newest value."""
        height, width, _ = self.builder.shape(self.builder.last)
        kernel = (int(self.rng.choice(sizes)), int(self.rng.choice(sizes)))
        top, bottom = (self._pick(0, kernel[0] - 1) for _ in range(2))
        left, right = (self._pick(0, kernel[1] - 1) for _ in range(2))
        if height + top + bottom < kernel[0] or width + left + right < kernel[1]:
            return (1, 1), (0, 0, 0, 0)
        return kernel, (top, left, bottom, right)

    def _stride(self) -> tuple[int, int]:
        return (self._pick(1, 2), self._pick(1, 2)) if self._chance(0.4) else (1, 1)

    def _conv(self) -> None:
        source = self.builder.last
        group, densities = self._prune()
        relu = self._chance(0.7)
        if self._chance(0.3):
            self._residual_conv(source, group, densities, relu)
            return
        kernel, padding = self._window((1, 2, 3, 5))
        self.builder.conv(
            source,
            self._pick(1, 2 * self.largest),
            kernel,
            stride=self._stride(),
            padding=padding,
            group=group,
            densities=densities,
            relu=relu,
        )

    def _residual_conv(
        self, source: str, group: int, densities: list[float] | None, relu: bool
    ) -> None:
        """Append a shape-preserving convolution that adds its own input, or an older value."""
        size = int(self.rng.choice([1, 3]))
        padding = (size // 2,) * 4
        middle = source
        if self._chance(0.5):
            middle = self.builder.conv(source, self._pick(1, self.largest), (1, 1))
        self.builder.conv(
            middle,
            self.builder.shape(source)[2],
            (size, size),
            padding=padding,
            group=group,
            densities=densities,
            residual=source,
            relu=relu,
        )

    def _depthwise(self) -> None:
        channels = self.builder.shape(self.builder.last)[2]
        kernel, padding = self._window((1, 3, 5))
        self.builder.conv(
            self.builder.last,
            channels * (2 if self._chance(0.2) else 1),
            kernel,
            stride=self._stride(),
            padding=padding,
            groups=channels,
        )

    def _grouped(self) -> None:
        channels = self.builder.shape(self.builder.last)[2]
        divisors = [count for count in range(1, channels + 1) if channels % count == 0]
        groups = int(self.rng.choice(divisors))
        kernel, padding = self._window((1, 3))
        self.builder.conv(
            self.builder.last,
            groups * self._pick(1, 3),
            kernel,
            stride=self._stride(),
            padding=padding,
            groups=groups,
            relu=self._chance(0.5),
        )

    def _sum(self) -> None:
        source = self.builder.last
        other = self.builder.conv(source, self.builder.shape(source)[2], (1, 1))
        self.builder.add(source, other, relu=self._chance(0.5))

    def _gate(self) -> None:
        """Multiply the newest value by, or add to it, what has 1 in place of some extents; or
        multiply matrices."""
        if self._chance(0.3):
            self._matmul()
            return
        source = self.builder.last
        height, width, channels = self.builder.shape(source)
        kernel = (height if self._chance(0.6) else 1, width if self._chance(0.6) else 1)
        part = self.builder.pool(source, AvgPool if self._chance(0.5) else MaxPool, kernel, kernel)
        if self._chance(0.7):
            part = self.builder.conv(part, channels if self._chance(0.6) else 1, (1, 1))
        if self._chance(0.7):
            self.builder.mul(source, part, relu=self._chance(0.3))
        else:
            self.builder.add(source, part)
        if self._chance(0.2):
            self.builder.add(self.builder.last, (height, 1, channels))
            self.builder.mul(self.builder.last, (1, width, 1))

    def _matmul(self) -> None:
        """Multiply each row of the newest value's positions by itself, or by what a convolution
        makes of it; perhaps make shares of the products."""
        source = self.builder.last
        width, channels = self.builder.shape(source)[1:]
        if self._chance(0.3):
            self.builder.matmul(source, source)
            return
        if self._chance(0.5):
            other = self.builder.conv(source, channels, (1, 1), relu=self._chance(0.5))
            self.builder.matmul(source, other)
            return
        scores = self.builder.conv(source, width, (1, 1), relu=self._chance(0.5))
        if self._chance(0.5):
            steps = [self._pick(256, 2**15) for _ in range(self.levels)]
            scores = self.builder.softmax(scores, steps)
        self.builder.matmul(scores, source, by_columns=True)

    def _normalize(self) -> None:
        """Normalize positions, groups of channels or all there is."""
        height, width, channels = self.builder.shape(self.builder.last)
        divisors = [count for count in range(1, channels + 1) if channels % count == 0]
        positions = 1 if self._chance(0.4) else height * width
        sizes = positions, int(self.rng.choice(divisors))
        self.builder.normalize(self.builder.last, sizes, center=self._chance(0.7))

    def _lookup(self) -> None:
        self.builder.lookup(self.builder.last, lambda x: x / (1 + np.exp(-x)))

    def _concat(self) -> None:
        source = self.builder.last
        axis = 2 if self._chance(0.7) else self._pick(0, 1)
        relu = self.builder.zero_point(source) == -128
        parts = [source]
        for _ in range(self._pick(1, 3)):
            channels = self._pick(1, 5) if axis == 2 else self.builder.shape(source)[2]
            again = self._chance(0.2)
            part = source if again else self.builder.conv(source, channels, (1, 1), relu=relu)
            parts.append(part)
        self.builder.concat([parts[index] for index in self.rng.permutation(len(parts))], axis)

    def _pad(self) -> None:
        rows, columns, more = (self._pick(0, 2), self._pick(0, 2)), (0, 0), (0, 0)
        if self._chance(0.6):
            columns = (self._pick(0, 2), self._pick(0, 2))
        if self._chance(0.3):
            more = (self._pick(0, 3), self._pick(0, 3))
        before, after = zip(rows, columns, more, strict=True)
        self.builder.pad(self.builder.last, before, after)

    def _rearrange(self) -> None:
        """Append a slice, flip or repetition of every axis, the axes in any order."""
        shape = self.builder.shape(self.builder.last)
        strides = (shape[1] * shape[2], shape[2], 1)
        offset, loops = 0, []
        for extent, stride in zip(shape, strides, strict=True):
            first = self._pick(0, extent - 1)
            count, step = self._pick(1, extent - first), self._pick(0, 1)
            if step and count > 1 and self._chance(0.3):
                first, step = first + count - 1, -1
            offset += first * stride
            loops.append((count if step else min(count, 3), step * stride))
        order = self.rng.permutation(3) if self._chance(0.5) else np.arange(3)
        loops = [loops[axis] for axis in order]
        extents: Shape = (loops[0][0], loops[1][0], loops[2][0])
        self.builder.rearrange(self.builder.last, extents, offset, loops)

    def _pool(self) -> None:
        kernel, padding = self._window((1, 2, 3))
        kind: type[MaxPool] | type[AvgPool] = MaxPool if self._chance(0.5) else AvgPool
        if self._chance(0.2):
            size = (self._pick(1, self.largest), self._pick(1, self.largest))
            self.builder.adaptive_pool(self.builder.last, kind, size)
            return
        counted = padding
        if self._chance(0.5):
            top, left, bottom, right = (self._pick(0, extent) for extent in padding)
            counted = (top, left, bottom, right)
        self.builder.pool(self.builder.last, kind, kernel, self._stride(), padding, counted)

    def _bilinear(self) -> None:
        size = (self._pick(1, self.largest), self._pick(1, self.largest))
        self.builder.bilinear(self.builder.last, size, self._pick(0, 1))

    def _classifier(self) -> None:
        height, width, channels = self.builder.shape(self.builder.last)
        if self._chance(0.3):
            self.builder.pool(self.builder.last, AvgPool, (height, width), (1, 1))
        elif self._chance(0.5):
            flat: Shape = (1, 1, height * width * channels)
            self.builder.reshape(self.builder.last, flat)
        if self._chance(0.8):
            if self._chance(0.3):
                group, densities = self._prune()
                self.builder.linear(
                    self.builder.last,
                    self._pick(1, 23),
                    group=group,
                    densities=densities,
                    relu=True,
                )
            self.builder.linear(self.builder.last, self._pick(2, 17))
        if self.builder.shape(self.builder.last)[2] <= MAX_CHANNELS and self._chance(0.4):
            self.builder.softmax(self.builder.last)

    def _another_input(self) -> None:
        """Add an input to the newest value: as it is, or what a 1x1 convolution makes of it."""
        height, width, channels = self.builder.shape(self.builder.last)
        newest = self.builder.last
        name = f"input{len(self.builder.inputs)}"
        if self._chance(0.5):
            other = self.builder.input(name, (height, width, channels), "samples")
        else:
            source = self.builder.input(name, (height, width, self._pick(1, 7)), "map")
            other = self.builder.conv(source, channels, (1, 1))
        order = (newest, other) if self._chance(0.5) else (other, newest)
        self.builder.add(*order, relu=self._chance(0.5))

    def _outputs(self, count: int) -> dict[str, Meaning]:
        """Return the newest value and ``count - 1`` others in a random order."""
        chosen = [self.builder.last]
        while len(chosen) < count:
            inner = [op.output for op in self.builder.ops if not op.is_view]
            source = str(self.rng.choice(inner))
            kind = self._pick(0, 2)
            if kind == 0 and source in chosen:
                continue
            if kind == 1:
                source = str(self.rng.choice(chosen))
                elements = int(np.prod(self.builder.shape(source)))
                source = self.builder.reshape(source, (1, elements, 1))
            elif kind == 2:
                source = self.builder.conv(source, self._pick(1, self.largest), (1, 1))
            chosen.append(source)
        self.rng.shuffle(chosen)
        return {name: MEANINGS[self._pick(0, len(MEANINGS) - 1)] for name in chosen}
