"""Which anchor of a detector answers for which box, and what it is told to say.

Boxes and middles of cells are in pixels; distances, which networks say, in anchors, of which a
detector without them has one per cell, the cell's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from codegen.tasks._boxes import PIXEL
from nestnet.tasks._anchors import anchors_of
from nestnet.tasks._moved import UNUSED

CANDIDATES = 10
"""Anchors that may answer for one box."""
SCORE_POWER, OVERLAP_POWER = 0.5, 6.0
BOX_WEIGHT = 5.0
"""Of the boxes' loss beside the classes' one."""
_TINY = 1e-7


@dataclass(frozen=True, eq=False)
class Anchors:
    """All anchors of a detector, scale after scale, row by row, cell by cell."""

    middles: Tensor
    """x and y of their cells, (anchors, 2)."""
    units: Tensor
    """What a distance of 1 stands for, along width and height, (anchors, 2)."""


@dataclass(frozen=True, eq=False)
class Said:
    """What one level says of a batch, anchors in one row."""

    logits: Tensor
    """(n, anchors, classes)."""
    distances: Tensor
    """Left, top, right, bottom, (n, anchors, 4)."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What anchors are to say."""

    scores: Tensor
    """(n, anchors, classes), 0..1."""
    boxes: Tensor
    """(n, anchors, 4); of anchors that answer for none anything."""
    weights: Tensor
    """(n, anchors): of the box, 0 where there is none; the score of its class."""
    counts: Tensor
    """(n, anchors, 1): 0 of anchors that may say of classes what they like, else 1."""


def maps_of(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return ``outputs`` as maps (n, c, h, w): those of a single cell may be vectors (n, c)."""
    return [each if each.ndim == 4 else each[..., None, None] for each in outputs]


def joined(maps: Sequence[Tensor]) -> Said:
    """Return a network's ``maps``, per scale scores (n, anchors * classes, h, w) and boxes
    (n, anchors * 4, h, w)."""
    rows: list[list[Tensor]] = [[], []]
    for pair in zip(maps[::2], maps[1::2], strict=True):
        anchors = pair[1].shape[1] // 4
        for of_kind, each in zip(rows, pair, strict=True):
            in_cells = each.flatten(2).transpose(1, 2).float()  # (n, cells, anchors * values)
            of_kind.append(in_cells.reshape(len(each), -1, each.shape[1] // anchors))
    return Said(torch.cat(rows[0], 1), torch.cat(rows[1], 1))


def spread(maps: Sequence[Tensor], image: tuple[int, int]) -> Anchors:
    """Return the anchors of ``maps`` over an ``image`` of this height and width."""
    middles, units = [], []
    shapes = [(each.shape[2], each.shape[3], each.shape[1] // 4) for each in maps[1::2]]
    for scores, (height, width, count), own in zip(
        maps[::2], shapes, anchors_of(shapes, image), strict=True
    ):
        size = torch.tensor([image[1] / width, image[0] / height], device=scores.device)
        y, x = torch.meshgrid(
            torch.arange(height, device=scores.device),
            torch.arange(width, device=scores.device),
            indexing="ij",
        )
        cells = (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * size
        middles.append(cells.repeat_interleave(count, 0))
        units.append(torch.tensor(own, device=scores.device).repeat(height * width, 1) / PIXEL)
    return Anchors(torch.cat(middles), torch.cat(units))


def boxes_of(distances: Tensor, anchors: Anchors) -> Tensor:
    """Return left, top, right, bottom, (n, anchors, 4), of ``distances``."""
    low = anchors.middles - distances[..., :2] * anchors.units
    return torch.cat([low, anchors.middles + distances[..., 2:] * anchors.units], -1)


@torch.no_grad()
def assign(said: Said, anchors: Anchors, targets: Tensor) -> Wanted:
    """Choose the anchors that answer for each box, by how well they do already.

    Of the anchors whose middle lies in a box (those of the nearest, if none does) the ones answer
    whose score^0.5 x overlap^6 is largest; one that several boxes want goes to the one it overlaps
    most. Their score is to be that measure, scaled so that the best anchor's is its overlap.
    Source: Feng et al., arXiv 2108.07755.

    Args:
        said: of the densest level.
        anchors: where they are.
        targets: (n, boxes, 5): class, left, top, right, bottom; class -1 in unused rows, below it
            of boxes that need not be found: an anchor whose middle lies in one and that answers for
            no box may say of classes what it likes.
    """
    there = targets[..., 0] >= 0
    classes = targets[..., 0].clamp(min=0).long()
    boxes = targets[..., 1:]
    found = boxes_of(said.distances, anchors)
    overlaps = overlap(boxes[:, :, None], found[:, None]).clamp(min=0)  # (n, boxes, anchors)
    chosen = classes[..., None].expand(-1, -1, said.logits.shape[1])
    scores = said.logits.sigmoid().transpose(1, 2).gather(1, chosen)
    fit = scores**SCORE_POWER * overlaps**OVERLAP_POWER
    x, y = anchors.middles.unbind(-1)
    left, top, right, bottom = (edge[..., None] for edge in boxes.unbind(-1))
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    away = (x - (left + right) / 2) ** 2 + (y - (top + bottom) / 2) ** 2
    nearest = (anchors.middles == anchors.middles[away.argmin(-1)][..., None, :]).all(-1)
    allowed = torch.where(inside.any(-1, keepdim=True), inside, nearest)
    best = torch.where(allowed, fit, -1.0).topk(min(CANDIDATES, fit.shape[-1]), -1).indices
    answers = torch.zeros_like(allowed).scatter(-1, best, True) & allowed & there[..., None]
    wins = torch.where(answers, overlaps, -1.0).argmax(1, keepdim=True)  # the box of each anchor
    answers &= torch.zeros_like(answers).scatter(1, wins, True)
    fit, overlaps = fit * answers, overlaps * answers
    share = overlaps.amax(-1, keepdim=True) / fit.amax(-1, keepdim=True).clamp(min=_TINY)
    weights = (fit * share).sum(1)  # (n, anchors)
    mine = answers.float().argmax(1)
    wanted = F.one_hot(classes.gather(1, mine), said.logits.shape[2]) * weights[..., None]
    free = (inside & (targets[..., :1] < UNUSED)).any(1) & (weights == 0)
    mine = mine[..., None].expand(-1, -1, 4)
    return Wanted(wanted, boxes.gather(1, mine), weights, (~free)[..., None].float())


def loss_of(said: Said, anchors: Anchors, wanted: Wanted) -> Tensor:
    """Return one level's loss: how far scores are from what is wanted, and boxes from theirs."""
    norm = wanted.weights.sum().clamp(min=1.0)
    classes = F.binary_cross_entropy_with_logits(
        said.logits, wanted.scores, wanted.counts, reduction="sum"
    )
    mine = wanted.weights > 0
    apart = 1 - completed(boxes_of(said.distances, anchors)[mine], wanted.boxes[mine])
    return (classes + BOX_WEIGHT * (apart * wanted.weights[mine]).sum()) / norm


def followed(said: Said, teacher: Said, wanted: Wanted) -> Tensor:
    """Return how far a level's scores are from the ``teacher``'s, which get no gradient."""
    goal = teacher.logits.detach().sigmoid()
    apart = F.binary_cross_entropy_with_logits(said.logits, goal, reduction="sum")
    return apart / wanted.weights.sum().clamp(min=1.0)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of boxes (..., 4)."""
    both, union = _shared(a, b)
    return both / union


def completed(a: Tensor, b: Tensor) -> Tensor:
    """Return the overlap of boxes (..., 4), less how far middles and proportions are apart.

    Source: Zheng et al., arXiv 1911.08287 (complete IoU).
    """
    both, union = _shared(a, b)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    diagonal = ((high - low) ** 2).sum(-1) + _TINY
    between = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    (aw, ah), (bw, bh) = ((box[..., 2:] - box[..., :2]).unbind(-1) for box in (a, b))
    turn = torch.atan(bw / (bh + _TINY)) - torch.atan(aw / (ah.clamp(min=_TINY)))
    shape = 4 / torch.pi**2 * turn**2
    found = both / union
    share = (shape / (1 - found + shape + _TINY)).detach()
    return found - between / diagonal - share * shape


def _shared(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas that two boxes share, and cover together."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (a, b)]
    return both, areas[0] + areas[1] - both + _TINY
