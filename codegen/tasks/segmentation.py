"""Segmentation: the class of every position of a map, as ``nn_segment`` writes it, or of an image
in tiles, as ``nn_segment_image`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array, Uint8Array
from codegen.graph.sources.tiles import OUTSIDE, cut, tiles
from codegen.tasks._task import (
    Answer,
    Outcome,
    Targets,
    Task,
    flat,
    int8_settings,
    names_of,
    real_values,
    share,
)

IGNORED = 255
"""Class of positions that count for nothing."""
_PALETTE = ((0, 0, 0), (230, 60, 60), (60, 160, 240), (250, 200, 40), (70, 200, 90), (190, 90, 220))
"""Colours of classes 0, 1, ...; class 0 is not drawn. They repeat from class 1 on."""


@dataclass(frozen=True, eq=False)
class MaskAnswer(Answer):
    """Which class one level takes each position for."""

    mask: Uint8Array
    """Shape (h, w), that of the image."""


class Segmentation(Task):
    """One output: a map of one channel, for two classes, or of one channel per class."""

    fitting = "one map, of one channel and a setting 'threshold', or of 2..255 channels"
    metric = "mean IoU"
    runs_network = True
    firmware = ("nn_segment", "nn_tiles", "nn_tile_at", "nn_segment_tile", "nn_segment_image")

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output is such a map."""
        if len(graph.outputs) != 1:
            return False
        height, width, channels = graph.only_output.shape
        if channels == 1 and threshold(graph) is None:
            return False
        left = _margins(graph)
        usable = not left or (left[0].is_integer() and 0 <= 2 * left[0] < min(height, width))
        return 1 <= channels <= IGNORED and len(left) <= 1 and usable

    def takes_any_size(self, graph: Graph) -> bool:
        """Return whether the network was trained on tiles of images: it answers to whole ones."""
        maps_alike = graph.only_input.shape[:2] == graph.only_output.shape[:2]
        return bool(_margins(graph)) and maps_alike

    def constants(self, graph: Graph) -> Mapping[str, Any]:
        """Return the numbers of nn_segmentation."""
        height, width, channels = graph.only_output.shape
        return {
            "height": height,
            "width": width,
            "channels": channels,
            "margin": margin(graph),
            "threshold": threshold(graph) or 0,
        }

    def answers(self, graph: Graph, image: Int8Array) -> tuple[Answer, ...]:
        """Return the mask of every level, sparsest first, of an int8 ``image`` (h, w, c): of any
        size where the network takes images in tiles."""
        size = graph.only_input.shape[:2]
        if not self.fits(graph) or not self.takes_any_size(graph) or image.shape[:2] == size:
            return super().answers(graph, image)
        height, width = image.shape[:2]
        plan = tiles((height, width), size, margin(graph))
        pieces = np.stack([cut(image, tile, size, OUTSIDE - 128) for tile in plan])
        found = []
        for level in range(len(graph.levels)):
            outcome = Outcome(graph, level, (pieces,), reference.run(graph, (pieces,), level))
            mask = np.zeros(image.shape[:2], np.uint8)
            for tile, answer in zip(plan, masks(outcome), strict=True):
                mask[tile.own] = answer[tile.inside]
            found.append(self._answer(outcome, mask))
        return tuple(found)

    def answer(self, outcome: Outcome) -> MaskAnswer:
        """Return the mask of one sample."""
        (mask,) = masks(outcome)
        return self._answer(outcome, mask)

    def _answer(self, outcome: Outcome, mask: Uint8Array) -> MaskAnswer:
        real = real_values(outcome.graph, outcome.level, outcome.outputs)
        parts = _shares(outcome.graph, mask)
        text = ", ".join(f"{name} {share:.1%}" for name, share in parts.items())
        return MaskAnswer(outcome.level, flat(outcome.outputs), real, text, mask)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return per level the share of positions of every class."""
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "shares": {name: round(x, 6) for name, x in _shares(graph, answer.mask).items()},
            }
            for answer in answers
            if isinstance(answer, MaskAnswer)
        ]

    def picture(self, graph: Graph, pixels: Uint8Array, answer: Answer) -> Uint8Array | None:
        """Return the image with every class but the first in a colour of its own."""
        if not isinstance(answer, MaskAnswer):
            return None
        height, width = pixels.shape[:2]
        rows = np.arange(height) * answer.mask.shape[0] // height
        columns = np.arange(width) * answer.mask.shape[1] // width
        mask = answer.mask[rows[:, None], columns]
        colours = np.array(_PALETTE)
        drawn = colours[np.where(mask > 0, 1 + (mask.astype(int) - 1) % (len(colours) - 1), 0)]
        plain = np.broadcast_to(pixels, (height, width, 3))
        mixed = np.where(mask[..., None] > 0, (plain.astype(int) + drawn) // 2, plain)
        return mixed.astype(np.uint8)

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return the mask of every sample, (n, positions)."""
        found = masks(outcome)
        return found.reshape(len(found), -1)

    def found(self, answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which masks have more than one class."""
        found: NDArray[np.bool_] = (answers != answers[:, :1]).any(axis=1)
        return found

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the mean intersection over union of the classes that occur."""
        counts = _counts(outcome, targets)
        return mean_iou(counts)

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return Dice and intersection over union of every class; None of one that neither truth
        nor answers have."""
        if targets is None:
            return {"rows": None}
        counts = _counts(outcome, targets)
        overlap, union, both = overlaps(counts)
        return {
            "rows": [
                {
                    "class": name,
                    "positions": int(counts[index].sum()),
                    "dice": share(2 * overlap[index], both[index]),
                    "iou": share(overlap[index], union[index]),
                }
                for index, name in enumerate(_names(outcome.graph))
            ]
        }


def threshold(graph: Graph) -> int | None:
    """Return the least int8 value of class 1 on a map of one channel; None where none is set."""
    numbers = int8_settings(graph, "threshold")
    return int(numbers[0]) if len(numbers) == 1 else None


def margin(graph: Graph) -> int:
    """Return how many pixels a tile leaves to its neighbours at borders inside an image."""
    return int(sum(_margins(graph)))


def _margins(graph: Graph) -> tuple[float, ...]:
    """Return the margin; none where the network was not trained on tiles."""
    return () if graph.task is None else graph.task.numbers("margin")


def masks(outcome: Outcome) -> Uint8Array:
    """Return the class of every position of every sample, (n, h, w)."""
    values: Int8Array = outcome.outputs[0]
    alone = values.shape[3] == 1
    found = values[..., 0] >= (threshold(outcome.graph) or 0) if alone else values.argmax(axis=3)
    return found.astype(np.uint8)


def overlaps(
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each class the positions that truth and answer share, that either has, and the
    sum of what each has; of a confusion with truth in rows."""
    overlap = np.diag(counts)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return overlap, both - overlap, both


def mean_iou(counts: NDArray[np.int64]) -> float:
    """Return the mean over the classes that truth or answers have."""
    overlap, union, _ = overlaps(counts)
    known = union > 0
    return float((overlap[known] / union[known]).mean()) if known.any() else 0.0


def _counts(outcome: Outcome, targets: Targets) -> NDArray[np.int64]:
    """Return how many positions of each class (row) are taken for each (column)."""
    size = len(_names(outcome.graph))
    counted = targets != IGNORED
    truth, said = targets[counted].astype(np.int64), masks(outcome)[counted].astype(np.int64)
    found: NDArray[np.int64] = np.bincount(truth * size + said, minlength=size * size)
    return found.reshape(size, size)


def _names(graph: Graph) -> tuple[str, ...]:
    return names_of(graph, max(graph.only_output.shape[2], 2))


def _shares(graph: Graph, mask: Uint8Array) -> dict[str, float]:
    """Return what share of the positions each class has."""
    names = _names(graph)
    counts = np.bincount(mask.reshape(-1), minlength=len(names))
    return {name: float(counts[index] / mask.size) for index, name in enumerate(names)}


TASK = Segmentation()
