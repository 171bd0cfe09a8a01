"""A convolution of a map that exists row by row only. Lowering makes it; no file holds one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Broken, Graph, Int8Array, Op, Shape, Value
from codegen.graph.ops.conv2d import Conv2D

Index = TypeVar("Index", int, NDArray[np.int_])


@dataclass(frozen=True)
class Steps:
    """Where rows or columns of a map begin in a value: two nested loops."""

    repeat: int
    """Rounds of the inner loop; rows in a multiple of it."""
    outer: int
    """Elements of the value from round to round of the outer loop; negative: backwards."""
    inner: int
    """The same of the inner loop; 0: the same again."""

    def at(self, index: Index) -> Index:
        """Return where row or column ``index`` begins, counted from the first one."""
        return index // self.repeat * self.outer + index % self.repeat * self.inner


@dataclass(frozen=True)
class Part:
    """Some channels of a map, read from a value: a pixel is consecutive elements of it."""

    source: str
    """Name of the value."""
    offset: int
    """Element of the value, in h, w, c order, at which pixel (0, 0) begins."""
    rows: Steps
    columns: Steps
    channels: int

    def pixels(self, height: int, width: int) -> NDArray[np.int_]:
        """Return the element of the value at which each pixel begins, (height, width)."""
        rows, columns = self.rows.at(np.arange(height)), self.columns.at(np.arange(width))
        return self.offset + rows[:, None] + columns[None, :]

    def read(self, images: Int8Array, height: int, width: int) -> Int8Array:
        """Return (n, height, width, channels) of the value's (n, h, w, c) ``images``."""
        at = self.pixels(height, width)[..., None] + np.arange(self.channels)
        return images.reshape(len(images), -1)[:, at]


@dataclass(frozen=True, eq=False)
class JoinedConv(Op):
    """A convolution of values side by side along the channels, each read in an order of its own.

    It gives the bits that its body gives on the map that :attr:`parts` describe.
    """

    parts: tuple[Part, ...]
    """In the order of the map's channels; a value may stand there twice."""
    map: Value
    """What the parts are joined to. No value of the graph: it never lies in RAM."""
    body: Conv2D
    """Reads the map; never as a residual."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the parts' values and, if one is fused, the residual."""
        return (*(part.source for part in self.parts), *self.body.inputs[1:])

    @property
    def output(self) -> str:
        """Return what the convolution writes."""
        return self.body.output

    def reading(self, names: Mapping[str, str]) -> JoinedConv:
        """Return this operator reading ``names[x]`` wherever it read x."""
        parts = tuple(
            replace(part, source=names.get(part.source, part.source)) for part in self.parts
        )
        return replace(self, parts=parts, body=self.body.reading(names))

    def around_body(self, graph: Graph) -> Graph:
        """Return ``graph`` with the map among its values."""
        return replace(graph, values=(*graph.values, self.map))

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the shape of the convolution of the map."""
        return self.body.out_shape((self.map.shape, *shapes[len(self.parts) :]))

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Join the map and convolve it."""
        height, width, _ = self.map.shape
        pairs = zip(self.parts, inputs, strict=False)
        joined = np.concatenate([part.read(images, height, width) for part, images in pairs], 3)
        rest = inputs[len(self.parts) :]
        return self.body.run(self.around_body(graph), (joined, *rest), level)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the parts, then those of the convolution."""
        height, width, channels = self.map.shape
        found = [part.channels for part in self.parts]
        if min(found, default=0) < 1 or sum(found) != channels:
            yield f"parts of {channels} channels in all", found
            return
        for part in self.parts:
            source = graph.value(part.source)
            if min(part.rows.repeat, part.columns.repeat) < 1:
                yield "loops go round at least once", part
                return
            at, last = part.pixels(height, width), prod(source.shape) - 1
            lowest, highest = int(at.min()), int(at.max()) + part.channels - 1
            if lowest < 0 or highest > last:
                yield f"addresses are 0..{last}", (lowest, highest)
            if (source.scale, source.zero_point) != (self.map.scale, self.map.zero_point):
                yield f"{part.source} has the map's scale and zero point", source.zero_point
        if self.body.input != self.map.name or self.map.name in self.body.inputs[1:]:
            yield f"the convolution reads {self.map.name} as its input alone", self.body.inputs
            return
        yield from self.body.check(self.around_body(graph))

    def macs(self, graph: Graph, level: int) -> int:
        """Return those of the convolution."""
        return self.body.macs(self.around_body(graph), level)
