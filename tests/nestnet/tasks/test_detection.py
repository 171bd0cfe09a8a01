"""Detection: who answers for which box, what it is told, how images move, how good boxes are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from codegen.errors import UserError
from codegen.tasks._boxes import Edge, decoder
from codegen.tasks._precision import precision
from codegen.tasks.detection import MIN_SCORE, OVERLAP_PERCENT
from nestnet import config, models, tasks
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.pixels import DEFAULT
from nestnet.tasks import _moved
from nestnet.tasks._anchors import anchors_of
from nestnet.tasks._assignment import (
    Said,
    assign,
    boxes_of,
    completed,
    followed,
    joined,
    loss_of,
    overlap,
    spread,
)
from nestnet.tasks._moved import moved

TASK = tasks.of("detection")
SHAPES = ((3, 5), (6, 10))
"""Coarse cells of 16 pixels would be last in a network; the order is the outputs'."""
IMAGE = (48, 80)


def maps(seed: int, classes: int = 3, count: int = 2, anchors: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = []
    for height, width in SHAPES[::-1]:
        for channels in (classes, 4):
            values = torch.randn(count, anchors * channels, height, width, generator=generator)
            found.append(values + 2 if channels == 4 else values)
    return found


def test_cells_and_distances_are_where_a_device_has_them() -> None:
    cells = spread(maps(0), IMAGE)
    assert cells.middles.shape == (75, 2) and cells.units[0].tolist() == [8, 8]
    assert cells.middles[0].tolist() == [4, 4] and cells.middles[11].tolist() == [12, 12]
    assert cells.middles[60].tolist() == [8, 8] and cells.middles[74].tolist() == [72, 40]
    distances = torch.tensor([1.0, 0.5, 2.0, 0.0]).expand(1, 75, 4)
    assert boxes_of(distances, cells)[0, 11].tolist() == [4, 8, 28, 12]


def test_anchors_of_a_cell_share_its_middle_and_are_told_apart_in_channels() -> None:
    values = maps(0, anchors=3)
    anchors, said = spread(values, IMAGE), joined(values)
    assert anchors.middles.shape == anchors.units.shape == (3 * 75, 2)
    assert anchors.middles[33:36].tolist() == [[12, 12]] * 3
    assert anchors.middles[-1].tolist() == [72, 40]
    assert said.logits.shape == (2, 225, 3) and said.distances.shape == (2, 225, 4)
    assert torch.equal(said.logits[1, 3 * 11 + 2], values[0][1, 6:, 1, 1])
    assert torch.equal(said.distances[0, 180 + 3 * 7 + 1], values[3][0, 4:8, 1, 2])
    around = boxes_of(torch.ones(1, 225, 4), anchors)[0, 33:36]
    sizes = (around[:, 2:] - around[:, :2]).tolist()
    assert sizes == [[4.75, 4.75], [6.75, 3.375], [3.375, 6.75]]  # of 4.8, in eighths


def test_sizes_of_anchors_rise_from_map_to_map_as_far_as_the_image() -> None:
    fine, coarse = anchors_of(((6, 10, 3), (3, 5, 6)), IMAGE)
    assert fine == [(38, 38), (54, 27), (27, 54)]
    assert coarse == [(346, 346), (489, 244), (244, 489), (364, 364), (599, 200), (200, 599)]
    assert anchors_of(((7, 10, 1), (3, 5, 1)), IMAGE) == [[(128, 16 * 48 / 7)], [(256, 256)]]
    (only,) = anchors_of(((1, 1, 2),), (48, 80))
    assert only == [(38, 38), (54, 27)]


def test_an_anchor_answers_for_the_box_that_it_is() -> None:
    anchors = spread(maps(0, anchors=6), IMAGE)
    around = boxes_of(torch.ones(1, 450, 4), anchors)[0]
    targets = torch.stack([torch.cat([torch.tensor([1.0]), around[k]]) for k in (6 * 23 + 1, 370)])
    wanted = assign(said_of(torch.ones(1, 450, 4)), anchors, targets[None])
    for number in (6 * 23 + 1, 370):
        assert float(wanted.scores[0, number, 1]) == pytest.approx(1, abs=1e-5)
        assert torch.equal(wanted.boxes[0, number], around[number])
    tiny = torch.tensor([[[0, 9, 9, 11, 11.0]]])
    found = assign(said_of(torch.ones(1, 450, 4)), anchors, tiny).weights[0].nonzero().flatten()
    assert len(found) == 6 and (anchors.middles[found] == anchors.middles[found[0]]).all()


def test_overlaps_are_those_of_rectangles() -> None:
    a = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 2], [0, 0, 4, 2], [2, 2, 1, 1]])
    b = torch.tensor([[0.0, 0, 4, 2], [2, 1, 6, 3], [9, 9, 10, 10], [0, 0, 3, 3]])
    assert overlap(a, b).tolist() == pytest.approx([1, 2 / 14, 0, 0], abs=1e-6)
    assert float(completed(a[0], b[0])) == pytest.approx(1, abs=1e-6)
    # less the squared distance of the middles over that of the corners around both
    assert float(completed(a[1], b[1])) == pytest.approx(2 / 14 - (4 + 1) / (36 + 9), abs=1e-6)


def said_of(distances: torch.Tensor, classes: int = 2) -> Said:
    return Said(torch.full((*distances.shape[:2], classes), -2.0), distances)


def test_the_best_ten_cells_inside_answer_and_the_nearest_where_none_is() -> None:
    cells = spread(maps(0), IMAGE)
    targets = torch.tensor([[[1, 0, 0, 80, 48], [0, 9, 9, 11, 11], [-1, 0, 0, 0, 0]]]).float()
    distances = torch.full((1, 75, 4), 1.0)
    distances[0, 20:32] = torch.tensor([[5.0, 3, 5, 3]]).expand(12, 4)  # these overlap the most
    wanted = assign(said_of(distances), cells, targets)
    found = wanted.scores[0]
    large = found[:, 1].nonzero().flatten().tolist()
    assert len(large) == 10 and set(large) <= set(range(20, 32))
    assert float(found[:, 1].max()) == pytest.approx(
        float(overlap(targets[0, 0, 1:], boxes_of(distances, cells)[0]).max()), abs=1e-5
    )
    small = found[:, 0].nonzero().flatten().tolist()
    assert len(small) == 1 and torch.equal(wanted.boxes[0, small[0]], targets[0, 1, 1:])
    middle = cells.middles[small[0]]
    assert ((middle - 10) ** 2).sum() == ((cells.middles - 10) ** 2).sum(-1).min()
    assert int((wanted.weights > 0).sum()) == 11


def test_a_cell_that_two_boxes_want_goes_to_the_one_it_overlaps_most() -> None:
    cells = spread(maps(0), IMAGE)
    targets = torch.tensor([[[0, 0, 0, 40, 40], [1, 0, 0, 36, 36]]]).float()
    distances = torch.full((1, 75, 4), 2.0)
    wanted = assign(said_of(distances), cells, targets)
    both = overlap(targets[0, :, None, 1:], boxes_of(distances, cells))
    for cell in wanted.weights[0].nonzero().flatten().tolist():
        mine = int(wanted.scores[0, cell].argmax())
        inside = (cells.middles[cell] < 36).all()
        assert mine == int(both[:, cell].argmax()) or not inside
    assert {0, 1} == {int(wanted.scores[0, c].argmax()) for c in wanted.weights[0].nonzero()}


def test_images_without_boxes_teach_silence() -> None:
    cells = spread(maps(0), IMAGE)
    outputs = torch.zeros(2, 75, 3, requires_grad=True), torch.ones(2, 75, 4, requires_grad=True)
    empty = torch.full((2, 4, 5), -1.0)
    said = Said(*outputs)
    wanted = assign(said, cells, empty)
    loss = loss_of(said, cells, wanted)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2 * 75 * 3 * math.log(2), rel=1e-4)
    assert outputs[0].grad is not None and (outputs[0].grad > 0).all()


def test_a_step_against_the_gradient_improves_every_level() -> None:
    """The sparser level's boxes count too, and nothing of its loss moves the teacher."""
    outputs = [[m.clone().requires_grad_() for m in maps(seed)] for seed in (1, 2)]
    targets = torch.tensor([[[1, 8, 8, 40, 40]], [[2, 20, 10, 70, 44]]]).float()
    images = torch.zeros(2, 1, *IMAGE)
    settings = TrainConfig(distill_weight=1.0)

    def loss(values: list[list[torch.Tensor]]) -> torch.Tensor:
        return TASK.loss([tuple(v) for v in values], targets, images, settings)

    before = loss(outputs)
    before.backward()
    for part in outputs:
        assert all(m.grad is not None and m.grad.abs().sum() > 0 for m in part)
    moved_on = [[m.detach() - 0.01 * m.grad for m in part] for part in outputs]  # type: ignore[operator]
    assert float(loss(moved_on)) < float(before)
    alone = TASK.loss([tuple(outputs[0])], targets, images, settings)
    for m in outputs[0]:
        m.grad, m.kept = None, m.grad  # type: ignore[attr-defined]
    alone.backward()
    assert all(torch.allclose(m.grad, m.kept) for m in outputs[0])  # type: ignore[attr-defined]


def test_following_is_least_at_the_teachers_scores() -> None:
    teacher = Said(torch.randn(1, 7, 3), torch.zeros(1, 7, 4))
    cells = spread([torch.zeros(1, 3, 1, 7), torch.zeros(1, 4, 1, 7)], (1, 7))
    wanted = assign(teacher, cells, torch.full((1, 1, 5), -1.0))
    own = teacher.logits.clone().requires_grad_()
    followed(Said(own, teacher.distances), teacher, wanted).backward()
    assert own.grad is not None and own.grad.abs().max() < 1e-6


@pytest.mark.parametrize("turn", [False, True])
def test_boxes_follow_what_they_are_around(turn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A white rectangle on black is found again where its box says it is."""
    monkeypatch.setattr(_moved, "GAIN", 0.0)
    monkeypatch.setattr(_moved, "OFFSET", 0.0)
    pixels = torch.full((64, 60, 100, 1), 28, dtype=torch.uint8)
    pixels[:, 20:40, 30:70] = 228
    targets = torch.tensor([[[2, 30, 20, 70, 40], [-1, 0, 0, 0, 0]]]).float().repeat(64, 1, 1)
    generator = torch.Generator().manual_seed(0)
    images, boxes = moved(pixels, targets, generator, DEFAULT, mirror=True, turn=turn)
    assert images.shape == pixels.shape and images.dtype == torch.uint8
    assert set(boxes[:, 0, 0].tolist()) <= {2.0, -1.0} and (boxes[:, 1, 0] == -1).all()
    for image, (label, left, top, right, bottom) in zip(images[..., 0], boxes[:, 0], strict=True):
        assert label == 2  # it is too large to leave the image
        rows, columns = (image > 178).nonzero().unbind(1)
        found = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
        wanted = [float(v) for v in (left, top, right, bottom)]
        assert np.abs(np.subtract(found, wanted)).max() <= 1.01
    widths = boxes[:, 0, 3] - boxes[:, 0, 1]
    assert float(widths.min()) < 36 and float(widths.max()) > 46


def test_a_box_that_mostly_leaves_is_dropped() -> None:
    zoom, shift = torch.ones(2, 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    targets = torch.tensor([[[0, 0, 0, 60, 10], [1, 50, 0, 90, 10]]]).float().repeat(2, 1, 1)
    found = _moved._boxes(targets, zoom, shift, (10, 100))
    assert found[0, :, 0].tolist() == [-1, 1]
    assert found[0, 1].tolist() == pytest.approx([1, 0, 0, 40, 10], abs=1e-4)
    assert torch.allclose(found[1], targets[1], atol=1e-4)


@pytest.mark.parametrize("anchors", [1, 3, 6])
def test_answers_on_an_int8_grid_are_those_of_the_device(anchors: int) -> None:
    random = np.random.default_rng(3)
    edges, said, stored = [], [], []
    for height, width in SHAPES[::-1]:
        for channels, scale in ((3 * anchors, 0.05), (4 * anchors, 0.03)):
            q = random.integers(-128, 128, (4, height, width, channels)).astype(np.int8)
            zero = int(random.integers(-20, 20))
            edges.append(Edge((height, width, channels), scale, zero))
            stored.append(q)
            real = (q.astype(np.float32) - zero) * np.float32(scale)
            said.append(torch.from_numpy(real).permute(0, 3, 1, 2))
    own = anchors_of([(*shape, anchors) for shape in SHAPES[::-1]], IMAGE)
    device = decoder(IMAGE, edges, OVERLAP_PERCENT, [pair for of in own for pair in of])
    assert device is not None
    answers = TASK.answers(tuple(said), torch.zeros(4, 1, *IMAGE))
    for index, mine in enumerate(answers):
        wanted = device.decode([each[index] for each in stored], MIN_SCORE)
        assert len(mine) == len(wanted) > 3
        np.testing.assert_array_equal(mine[:, 0], wanted[:, 0])
        assert np.abs(mine[:, 1:] - wanted[:, 1:]).max() <= 1


def test_precision_by_hand() -> None:
    """Two boxes of class 0: one found at once, one after a false alarm; class 1 is not found."""
    targets = np.full((3, 2, 5), -1, np.float32)
    targets[0, 0], targets[0, 1] = [0, 0, 0, 10, 10], [1, 20, 20, 30, 30]
    targets[1, 0] = [0, 5, 5, 25, 25]
    found = [
        np.array([[0, 512, 0, 0, 160, 160]]),
        np.array([[0, 256, 800, 800, 900, 900], [0, 128, 80, 80, 400, 400]]),
        np.zeros((0, 6), np.int64),
    ]
    reached = precision(found, targets, 3)
    # recall up to 1/2 at precision 1, up to 1 at 2/3, sampled at 101 recalls
    assert reached.ap50[0] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6)
    assert reached.ap50[1:] == (0.0, None)
    assert reached.map50 == pytest.approx(reached.ap50[0] / 2)
    assert precision([np.zeros((0, 6), np.int64)] * 3, targets, 3).ap50 == (0.0, 0.0, None)
    halves = [np.array([[0, 512, 0, 0, 160, 88]]), *found[2:] * 2]
    assert precision(halves, targets, 2).ap[0] == pytest.approx(51 / 101 * 2 / 10 + 0, abs=1e-6)


def test_boxes_in_one_that_need_not_be_found_count_neither_way() -> None:
    """A crowd of class 0 over the right half of the image; the left has a box of class 0."""
    targets = np.full((1, 3, 5), -1, np.float32)
    targets[0, 0], targets[0, 1] = [0, 0, 0, 10, 10], [-2, 40, 0, 80, 48]
    right = [0, 512, 0, 0, 160, 160]
    within = [[0, 900, 640 + 96 * k, 80, 720 + 96 * k, 200] for k in range(3)]
    assert precision([np.array([*within, right])], targets, 2).ap50 == (1.0, None)
    apart = [[1, *row[1:]] for row in within]
    assert precision([np.array([*apart, right])], targets, 2).ap50 == (1.0, None)
    targets[0, 2] = [1, 20, 0, 30, 10]
    assert precision([np.array([*apart, right])], targets, 2).ap50 == (1.0, 0.0)
    targets[0, 1, 0] = -1
    alarms = precision([np.array([*within, right])], targets, 2).ap50[0]
    assert alarms == pytest.approx(1 / 4, abs=1e-6)
    targets[0, 0, 0], targets[0, 2, 0] = -2, -3
    assert precision([np.array(within)], targets, 2).ap50 == (None, None)


def test_cells_in_a_box_that_need_not_be_found_may_say_what_they_like() -> None:
    cells = spread(maps(0), IMAGE)
    outputs = torch.zeros(1, 75, 2, requires_grad=True), torch.ones(1, 75, 4)
    said = Said(*outputs)
    targets = torch.tensor([[[1, 0, 0, 24, 24], [-2, 8, 8, 80, 48], [-1, 0, 0, 0, 0]]]).float()
    wanted = assign(said, cells, targets)
    loss_of(said, cells, wanted).backward()
    x, y = cells.middles.unbind(-1)
    inside = (x > 8) & (y > 8) & (wanted.weights[0] == 0)
    assert outputs[0].grad is not None and 0 < int(inside.sum()) < 75
    assert torch.equal((outputs[0].grad[0] != 0).any(1), ~inside)
    alone = assign(said, cells, targets[:, :1])
    assert torch.equal(wanted.scores, alone.scores) and torch.equal(wanted.weights, alone.weights)
    zoom, shift = torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
    kept = _moved._boxes(targets, zoom, shift, (48, 80))[0, :, 0]  # half an image to the left
    assert kept.tolist() == [-1, -2, -1]


def data(
    targets: np.ndarray,
    classes: tuple[str, ...] = ("bolt", "nut"),
    size: tuple[int, int, int] = (48, 80, 1),
) -> Dataset:
    images = np.zeros((len(targets), *size), np.uint8)
    split = Split(images, targets)
    return Dataset("own", "own", split, split, classes, "none", task="detection")


@pytest.mark.parametrize("row", [
    (2, 0, 0, 5, 5), (0.5, 0, 0, 5, 5), (0, -1, 0, 5, 5), (0, 0, 0, 81, 5), (0, 5, 0, 5, 5),
    (1, 0, 9, 5, 5), (-4, 0, 0, 5, 5), (-2, 0, 0, 5, 49),
])  # fmt: skip
def test_rows_that_are_no_boxes_are_refused(row: tuple[float, ...]) -> None:
    targets = np.full((3, 2, 5), -1, np.float32)
    targets[0, 0], targets[1, 0] = (1, 0, 0, 80, 48), (-3, 0, 0, 80, 48)
    TASK.check_data(data(targets))
    targets[2, 1] = row
    with pytest.raises(
        UserError, match=r"own\.py reads it: train\.targets hold a row that is no box"
    ):
        TASK.check_data(data(targets))


def test_data_without_a_box_or_of_another_form_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.targets hold no box"):
        TASK.check_data(data(np.full((3, 2, 5), -1, np.float32)))
    with pytest.raises(UserError, match=r"expected float32 \(n, boxes, 5\)"):
        TASK.check_data(data(np.zeros((3, 5), np.float32)))


@pytest.mark.parametrize("shapes", [
    ((1, 1, 2),), ((6, 10, 3), (6, 10, 4)), ((6, 10, 2), (6, 10, 2)), ((6, 10, 2), (3, 5, 4)),
    ((49, 10, 2), (49, 10, 4)), (), ((1, 1, 2), (1, 1, 4)) * 7, ((6, 10, 2), (6, 10, 8)),
    ((6, 10, 14), (6, 10, 28)),
])  # fmt: skip
def test_a_network_that_is_no_detector_is_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    targets = np.full((3, 2, 5), -1, np.float32)
    TASK.check_outputs("x", ((6, 10, 2), (6, 10, 4), (3, 5, 2), (3, 5, 4)), data(targets))
    with pytest.raises(UserError, match="outputs are not those of a detector"):
        TASK.check_outputs("x", shapes, data(targets))


def test_a_detector_has_a_recipe_of_its_own() -> None:
    dense = config.chosen({"dataset": "voc", "sparsity": 0.0}, None, tasks.defaults)
    assert (dense.optimizer, dense.ema, dense.clip, dense.batch) == ("adamw", 0.998, 10.0, 24)
    assert [phase.name for phase in dense.phases()] == ["warm-up"]
    nested = config.chosen({"task": "detection", "lr": 0.5}, None, tasks.defaults)
    assert (nested.ema, nested.lr) == (0.99, 0.5)
    phases = [phase.name for phase in nested.phases()]
    assert phases == ["warm-up", "ramp", "recovery"]
    given = {"dataset": "voc", "init_from": "dense"}
    later = config.chosen(given, None, tasks.defaults)
    assert [phase.name for phase in later.phases()] == ["ramp", "recovery"]


@pytest.mark.parametrize("name", ["det_mobilenetv1", "det_mobilenetv2", "det_csp", "det_c2f"])
def test_a_detectors_maps_are_what_the_task_wants(name: str) -> None:
    torch.manual_seed(0)
    module = models.build(f"{name}@0.125", (48, 80, 3), 2).eval()
    found = tuple(module(torch.zeros(1, 3, 48, 80)).values())
    shapes = tuple((m.shape[2], m.shape[3], m.shape[1]) for m in found)
    assert shapes == ((6, 10, 2), (6, 10, 4), (3, 5, 2), (3, 5, 4))
    assert len(TASK.answers(found, torch.zeros(1, 3, *IMAGE))) == 1
    with pytest.raises(UserError, match=r"multiples of 16 high and wide, not 50x80"):
        models.build(name, (50, 80, 3), 2)


def test_ssdlite_has_six_maps_and_as_many_weights_as_published() -> None:
    """4.3 M in arXiv 1801.04381, table 6, of 80 classes; there one more stands for none."""
    height, width = 65, 99
    name = "ssdlite_mobilenetv2@0.05"
    torch.manual_seed(0)
    module = models.build(name, (height, width, 1), 2).eval()
    found = tuple(module(torch.zeros(1, 1, height, width)).values())
    shapes = tuple((m.shape[2], m.shape[3], m.shape[1]) for m in found)
    cells = [(9, 13), (5, 7), (3, 4), (2, 2), (1, 1)]
    per_cell = [3, 6, 6, 6, 6]
    assert shapes[::2] == tuple((*at, 2 * n) for at, n in zip(cells, per_cell, strict=True))
    assert shapes[1::2] == tuple((*at, 4 * n) for at, n in zip(cells, per_cell, strict=True))
    TASK.check_outputs(name, shapes, data(np.full((3, 2, 5), -1, np.float32), size=(65, 99, 1)))
    vectors = tuple(m.flatten(1) if m.shape[2:] == (1, 1) else m for m in found)
    assert len(TASK.answers(vectors, torch.zeros(1, 1, height, width))) == 1
    with torch.device("meta"):
        whole = models.build("ssdlite_mobilenetv2@1", (320, 320, 3), 81)
    weights = sum(p.numel() for p in whole.parameters() if p.ndim == 4)
    assert len(whole.heads) == 6 and 4.25e6 < weights < 4.35e6  # type: ignore[arg-type]


def test_blocks_have_a_multiplier_of_their_own() -> None:
    sizes = [
        sum(p.numel() for p in models.build(name, (32, 32, 1), 2).parameters())
        for name in ("det_csp@0.125", "det_csp@0.125x0.33", "det_csp@0.125x1")
    ]
    assert sizes[0] == sizes[1] < sizes[2]
    with pytest.raises(UserError, match="the model has no depth multiplier; got 'x2'"):
        models.build("det_mobilenetv1@0.25x2", (32, 32, 1), 2)
