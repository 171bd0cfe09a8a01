"""Boxes from a detector's maps: decode and suppress, integers only, as C does on a device.

A detector has two outputs per scale, the finest scale first: class scores (h, w, anchors * classes)
and distances (h, w, anchors * 4) from the middle of a cell to the left, top, right and lower edge.
An anchor is what a distance of 1 stands for, along width and height; a detector without anchors has
one per cell, the cell's size. Boxes are rows of six numbers: class, score as logit in 1/256, and
left, top, right, bottom in sixteenths of a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Int8Array

IntArray = NDArray[np.int64]

SCALES = 6
"""Most scales of a detector."""
ANCHORS = 65536
"""Most anchors of all cells together."""
PER_CELL = 255
"""Most anchors of a cell."""
CANDIDATES = 128
"""Anchors that are looked at after the threshold: of more, the best, of equals the first."""
MOST = 64
"""Most boxes of an image."""
LARGEST_IMAGE = 2047
"""Pixels a side whose sixteenths fit 16 bits."""
PIXEL = 16
"""Steps of a coordinate in a pixel."""
LOGIT = 256
"""Steps of a score in a logit of 1."""
COLUMNS = 6
"""Numbers of a box."""
_FRACTION = 12
_LIMIT = 8388608
"""Above the constants of a scale, so that 255 steps stay below 2^31."""


@dataclass(frozen=True)
class Edge:
    """A map at the network's end: real = scale * (q - zero)."""

    shape: tuple[int, int, int]
    """Height, width, channels."""
    scale: float
    zero: int


@dataclass(frozen=True)
class Scale:
    """What one scale's int8 values stand for, in integers."""

    height: int
    width: int
    class_zero: int
    box_zero: int
    logit: int
    """Of one step of a class score, in 1/LOGIT with 12 more bits."""
    anchors: tuple[tuple[int, int], ...]
    """Of one step of an anchor's distance along width and height, in 1/PIXEL pixel with 12 more
    bits."""


@dataclass(frozen=True)
class Decoder:
    """What model.c holds of a detector, and what nn_detect does with it."""

    image: tuple[int, int]
    """Height and width in pixels."""
    scales: tuple[Scale, ...]
    classes: int
    percent: int
    """Intersection over union above which the lower-scored of two boxes of a class is dropped."""

    def decode(self, maps: Sequence[Int8Array], min_score: int, room: int = MOST) -> IntArray:
        """Return the boxes in ``maps``, two per scale, (h, w, channels) each: (boxes, COLUMNS).

        Anchors count from ``min_score`` on, in 1/LOGIT.
        """
        scores, classes, distances = [], [], []
        for index, scale in enumerate(self.scales):
            values = maps[2 * index].reshape(-1, self.classes).astype(np.int64)
            largest = values.max(axis=1)
            score = _scaled(largest - scale.class_zero, np.int64(scale.logit))
            score = np.clip(score, -(2**15), 2**15 - 1)
            scores.append(score)
            classes.append(values.argmax(axis=1))
            steps = np.array(scale.anchors, np.int64)[:, [0, 1, 0, 1]]
            sides = maps[2 * index + 1].reshape(-1, *steps.shape).astype(np.int64)
            distances.append(_scaled(sides - scale.box_zero, steps).reshape(-1, 4))
        shapes = [(scale.height, scale.width, len(scale.anchors)) for scale in self.scales]
        return suppressed(
            np.concatenate(scores),
            np.concatenate(classes),
            edges_of(self.image, shapes, np.concatenate(distances)),
            min_score,
            self.percent,
            room,
        )


def decoder(
    image: tuple[int, int],
    outputs: Sequence[Edge],
    percent: int,
    anchors: Sequence[tuple[float, float]] = (),
) -> Decoder | None:
    """Return the decoder of a network; None if its outputs are not those of a detector.

    Args:
        image: height and width in pixels.
        outputs: in the network's order.
        percent: see :class:`Decoder`.
        anchors: what a distance of 1 stands for along width and height, in 1/PIXEL pixel, of every
            scale's anchors in turn; none: one a cell, as large as that.
    """
    count, odd = divmod(len(outputs), 2)
    if odd or not 1 <= count <= SCALES or max(image) > LARGEST_IMAGE or not 0 <= percent <= 100:
        return None
    classes = outputs[0].shape[2] // max(outputs[1].shape[2] // 4, 1)
    scales: list[Scale] = []
    left = list(anchors)
    for scores, boxes in zip(outputs[::2], outputs[1::2], strict=True):
        height, width, _ = scores.shape
        per_cell = max(boxes.shape[2] // 4, 1)
        alike = boxes.shape == (height, width, 4 * per_cell) and per_cell <= PER_CELL
        alike &= scores.shape[2] == per_cell * classes
        own, left = left[:per_cell], left[per_cell:]
        if not anchors:
            own = [(PIXEL * image[1] / width, PIXEL * image[0] / height)]
        if not alike or len(own) != per_cell or image[0] < height or image[1] < width:
            return None
        logit = _constant(scores.scale, LOGIT)
        steps = tuple((_constant(boxes.scale, w), _constant(boxes.scale, h)) for w, h in own)
        if not all(
            0 < constant < _LIMIT for constant in (logit, *(s for pair in steps for s in pair))
        ):
            return None
        scales.append(Scale(height, width, scores.zero, boxes.zero, logit, steps))
    total = sum(scale.height * scale.width * len(scale.anchors) for scale in scales)
    return None if left or total > ANCHORS else Decoder(image, tuple(scales), classes, percent)


def edges_of(
    image: tuple[int, int], shapes: Sequence[tuple[int, int, int]], distances: IntArray
) -> IntArray:
    """Return left, top, right, bottom of every anchor's box, within the image, in 1/PIXEL pixel.

    Args:
        image: height and width in pixels.
        shapes: height and width of every scale, in cells, and its anchors per cell.
        distances: (anchors, 4) from the middles of cells, in 1/PIXEL pixel; below 0 is 0.
    """
    middles = [middles_of(image, shape) for shape in shapes]
    x, y = np.concatenate(middles).T
    left, top, right, bottom = np.maximum(distances, 0).T
    found = np.stack([x - left, y - top, x + right, y + bottom], axis=1)
    last = np.array([image[1], image[0]] * 2) * PIXEL
    inside: IntArray = np.clip(found, 0, last)
    return inside


def middles_of(image: tuple[int, int], shape: tuple[int, int, int]) -> IntArray:
    """Return x and y of the middles of cells, row by row, once per anchor, in 1/PIXEL pixel."""
    height, width, anchors = shape
    x = (2 * np.arange(width) + 1) * PIXEL * image[1] // (2 * width)
    y = (2 * np.arange(height) + 1) * PIXEL * image[0] // (2 * height)
    cells = np.stack([np.tile(x, height), np.repeat(y, width)], axis=1).astype(np.int64)
    return np.repeat(cells, anchors, axis=0)


def suppressed(
    scores: IntArray,
    classes: IntArray,
    edges: IntArray,
    min_score: int,
    percent: int,
    room: int = MOST,
) -> IntArray:
    """Return the boxes that are left of all anchors', best first: (boxes, COLUMNS).

    Args:
        scores: (anchors,) in 1/LOGIT, 16 bits with a sign.
        classes: (anchors,).
        edges: (anchors, 4) in 1/PIXEL pixel.
        min_score: from which on an anchor counts.
        percent: see :class:`Decoder`.
        room: most boxes; MOST if that is less.
    """
    counting = np.flatnonzero(scores >= min_score)
    order = counting[np.lexsort((counting, -scores[counting]))][:CANDIDATES]
    width, height = edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]
    area = width * height
    order = order[area[order] > 0]
    kept: list[int] = []
    while len(order) and len(kept) < min(room, MOST):
        first, rest = order[0], order[1:]
        kept.append(int(first))
        low = np.maximum(edges[rest, :2], edges[first, :2])
        high = np.minimum(edges[rest, 2:], edges[first, 2:])
        both = np.maximum(high - low, 0).prod(axis=1)
        everything = area[rest] + area[first] - both
        over = (classes[rest] == classes[first]) & (both * 100 > everything * percent)
        order = rest[~over]
    chosen = np.array(kept, np.int64)
    columns = [classes[chosen, None], scores[chosen, None], edges[chosen]]
    return np.concatenate(columns, axis=1).astype(np.int64)


def _constant(scale: float, units: float) -> int:
    """Return one step of an edge in ``units``, with 12 more bits; 0 below half of the last bit."""
    return int(np.floor(float(np.float32(scale)) * units * (1 << _FRACTION) + 0.5))


def _scaled(steps: IntArray, constant: Any) -> IntArray:
    found: IntArray = (steps * constant + (1 << (_FRACTION - 1))) >> _FRACTION
    return found
