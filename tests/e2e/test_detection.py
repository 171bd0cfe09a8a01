"""From an image to boxes: a program that includes model.h, against NumPy; and a short training."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import nestnet
from codegen import tasks
from codegen.emit import project
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ir import Setting, TaskRecord
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.verify import verify
from codegen.target.target import resolve
from codegen.tasks._boxes import PIXEL
from codegen.tasks._task import Outcome
from codegen.tasks.detection import Boxes, Detection
from nestnet import config, runs
from nestnet.cli import tables
from nestnet.cli.photo import read_photo
from tests.support.edge_nets import MIN_SCORE, boxes_of_two_scales
from tests.support.firmware.rig import SANITIZERS, run_checked
from tests.support.projects import SHA256, WARNINGS

MAIN = """
static uint8_t arena[NN_EYE_ARENA_BYTES] __attribute__((aligned(NN_ARENA_ALIGN_BYTES)));
static uint32_t scratch[NN_DETECTION_CANDIDATES];
static nn_box found[NN_DETECTION_BOXES];

int main(void)
{
    nn_net net;
    if (nn_init(&net, &nn_model_eye, arena, sizeof arena) != NN_OK) {
        return 2;
    }
    for (unsigned level = 0; level < 2; level++) {
        for (unsigned i = 0; i < NN_EYE_INPUT_BYTES; i++) {
            nn_input(&net, 0)[i] = image[i];
        }
        if (nn_set_level(&net, level) != NN_OK || nn_run(&net, NULL, NULL) != NN_OK) {
            return 3;
        }
        const unsigned count =
            nn_detect(&nn_task_eye, &net, NN_EYE_MIN_SCORE, scratch, found, NN_DETECTION_BOXES);
        if (count != counts[level]) {
            return 4;
        }
        for (unsigned i = 0; i < count; i++) {
            const int16_t *want = expected[level][i];
            const int16_t got[6] = {(int16_t)found[i].index, found[i].score, found[i].left,
                                    found[i].top, found[i].right, found[i].bottom};
            for (unsigned k = 0; k < 6; k++) {
                if (got[k] != want[k]) {
                    return 1;
                }
            }
        }
    }
    return 0;
}
"""


def test_a_program_finds_the_boxes_of_the_twin(tmp_path: Path) -> None:
    graph = verify(boxes_of_two_scales(anchors=3))
    task = tasks.of(graph)
    assert isinstance(task, Detection)
    image = np.random.default_rng(1).integers(-128, 128, (24, 40, 1)).astype(np.int8)
    answers = task.answers(graph, image)
    rows = [answer.boxes for answer in answers if isinstance(answer, Boxes)]
    assert len(rows) == 2 and all(2 < len(boxes) <= 64 for boxes in rows)
    assert not np.array_equal(rows[0], rows[1])
    made = project.write(graph, SHA256, resolve("host"), tmp_path / "made")
    most = max(map(len, rows))
    padded = [np.pad(boxes, ((0, most - len(boxes)), (0, 0))).tolist() for boxes in rows]
    table = str(padded).replace("[", "{").replace("]", "}")
    text = '#include "model.h"\n'
    text += f"static const int8_t image[] = {{{','.join(map(str, image.reshape(-1)))}}};\n"
    text += f"static const unsigned counts[] = {{{len(rows[0])}, {len(rows[1])}}};\n"
    text += f"static const int16_t expected[2][{most}][6] = {table};\n"
    (tmp_path / "main.c").write_text(text + MAIN, encoding="ascii")
    sources = [str(path) for path in sorted((made / "library").rglob("*.c"))]
    command = ["gcc", "-std=c99", "-O1", *WARNINGS, *SANITIZERS, f"-I{made / 'library'}"]
    run_checked([*command, "main.c", *sources, "-o", "eye"], tmp_path)
    run_checked(["./eye"], tmp_path)


def test_settings_of_the_file_decide() -> None:
    graph = boxes_of_two_scales()
    task = tasks.of(graph)
    assert task is not None
    image = np.random.default_rng(1).integers(-128, 128, (24, 40, 1)).astype(np.int8)
    lower = TaskRecord("detection", (Setting("min_score", (-3000,)),))
    few, more = (task.answers(g, image)[1] for g in (graph, replace(graph, task=lower)))
    assert isinstance(few, Boxes) and isinstance(more, Boxes)
    assert few.boxes[:, 1].min() >= MIN_SCORE > more.boxes[:, 1].min() >= -3000
    drawn = task.picture(graph, np.full((24, 40, 1), 9, np.uint8), few)
    assert drawn is not None and drawn.shape == (24, 40, 3)
    sure = few.boxes[few.boxes[:, 1] >= -281]
    changed = (drawn != 9).any(axis=2)
    assert changed.any() == (len(sure) > 0)
    if len(sure):
        left, top = (sure[0, 2:4] / PIXEL).round().astype(int)
        assert changed[min(top, 23), min(left, 39)]
    plain = task.as_json(graph, task.answers(graph, image))
    assert plain[1]["boxes"][0]["box"] == (few.boxes[0, 2:] / PIXEL).tolist()


def picture(random: np.random.Generator) -> tuple[bytes, list[str]]:
    """Return a grey image with a bright spot or a dark bar, and the boxes of these."""
    pixels = random.integers(90, 150, (48, 64)).astype(np.uint8)
    index = int(random.integers(2))
    width, height = ((10, 10), (22, 8))[index]
    x, y = int(random.integers(64 - width)), int(random.integers(48 - height))
    pixels[y : y + height, x : x + width] = (240, 15)[index]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), [f"{('spot', 'bar')[index]},{x},{y},{x + width},{y + height}"]


def write_data(folder: Path, train: int, test: int) -> None:
    """Write so many images and their boxes."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        lines = ["image,class,xmin,ymin,xmax,ymax"]
        for number in range(count):
            name = f"{split}{number}.png"
            content, boxes = picture(random)
            (folder / name).write_bytes(content)
            lines += [f"{name},{box}" for box in boxes]
        (folder / f"{split}.csv").write_text("\n".join(lines))


MODEL = """
from torch import nn
from nestnet.models._detector import Head, conv, separable


class Two(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.fine = nn.Sequential(conv(channels, 8, 3, 4), separable(8, 16, 2))
        self.coarse = separable(16, 24, 2)
        self.heads = nn.ModuleList([Head(16, 16, classes), Head(24, 16, classes)])

    def forward(self, x):
        fine = self.fine(x)
        return (*self.heads[0](fine), *self.heads[1](self.coarse(fine)))


def factory(shape, classes):
    return Two(shape[2], classes)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps on a few images: not to detect, but to go through everything."""
    folder = tmp_path_factory.mktemp("detection")
    write_data(folder, 24, 6)
    (folder / "net.py").write_text(MODEL)
    return nestnet.train(
        dataset="csv", data=str(folder), model=f"{folder / 'net.py'}:factory", sparsity=(0.6, 0.3),
        group="1x1", epochs=6, batch=8, out=folder / "runs", quiet=True,
    )  # fmt: skip


def test_a_run_records_its_recipe_and_its_task(trained: Path) -> None:
    recorded = config.load(trained / runs.CONFIG)
    assert (recorded.optimizer, recorded.ema, recorded.clip) == ("adamw", 0.99, 10.0)
    graph = nestfile.load(trained / runs.MODEL)
    assert [graph.value(name).meaning for name in graph.outputs] == ["class_scores", "boxes"] * 2
    assert graph.task is not None and graph.task.name == "detection"
    assert graph.task.numbers("min_score") == (-1176,)
    assert graph.provenance.class_names == ("bar", "spot")
    assert isinstance(tasks.of(graph), Detection)


def test_evaluation_and_the_integer_network_agree(trained: Path) -> None:
    levels = nestnet.evaluate(trained)
    assert [set(level.ap50_of) for level in levels] == [{"bar", "spot"}] * 2
    graph = nestfile.load(trained / runs.MODEL)
    task = tasks.of(graph)
    assert task is not None
    chosen = config.load(trained / runs.CONFIG)
    _, data = nestnet.tasks.with_data(chosen)
    images = (data.test.images.astype(np.int16) - 128).astype(np.int8)
    for level in levels:
        outputs = reference.run(graph, (images,), level.level)
        outcome = Outcome(graph, level.level, (images,), outputs)
        assert task.score(outcome, data.test.targets) == pytest.approx(
            level.map50_quantized, abs=0.02
        )
        details = task.details(outcome, data.test.targets)
        assert details["score_threshold"] == 0.01 and len(details["rows"]) == 2
        assert details.keys() == task.details(outcome, None).keys()


def test_a_published_detector_is_trained_and_answers(tmp_path: Path) -> None:
    """Its coarsest map is a single cell; anchors are in the file, and levels are nested."""
    write_data(tmp_path, 8, 6)
    run = nestnet.train(
        dataset="csv", data=str(tmp_path), model="ssdlite_mobilenetv2@0.05", sparsity=(0.6, 0.3),
        group="1x1", epochs=1, batch=8, out=tmp_path / "runs", quiet=True,
    )  # fmt: skip
    graph = nestfile.load(run / runs.MODEL)
    shapes = [graph.value(name).shape for name in graph.outputs]
    assert shapes[:4] == [(6, 8, 6), (6, 8, 12), (3, 4, 12), (3, 4, 24)]
    assert shapes[4:] == [(2, 2, 12), (2, 2, 24), (1, 1, 12), (1, 1, 24)]
    assert graph.task is not None and len(graph.task.numbers("anchors")) == 2 * (3 + 6 + 6 + 6)
    assert graph.levels[0].sparsity > graph.levels[1].sparsity > 0.25
    task = tasks.of(graph)
    assert isinstance(task, Detection)
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 1), np.uint8)
    answers = task.answers(graph, (pixels.astype(np.int16) - 128).astype(np.int8))
    assert all(isinstance(answer, Boxes) and len(answer.boxes) for answer in answers)
    drawn = task.picture(graph, pixels, answers[-1])
    assert drawn is not None and drawn.shape == (48, 64, 3)


def test_maps_stay_dense(trained: Path) -> None:
    graph = nestfile.load(trained / runs.MODEL)
    made = {op.output: op for op in graph.ops}
    for name in graph.outputs:
        op = made[name]
        assert isinstance(op, Conv2D) and op.group_level is None, name


def test_a_photo_keeps_its_proportions_and_its_boxes_are_a_table(tmp_path: Path) -> None:
    graph = boxes_of_two_scales()
    task = tasks.of(graph)
    assert task is not None and task.keeps_proportions
    pixels = np.random.default_rng(2).integers(0, 100, (24, 80), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    made = read_photo(tmp_path / "wide.png", graph, whole=task.keeps_proportions)
    assert made.pixels.shape == (24, 40, 1)
    assert (made.pixels[:6] == 128).all() and (made.pixels[18:] == 128).all()
    assert (made.pixels[6:18] < 128).all()
    levels = task.as_json(graph, task.answers(graph, made.image))
    found = task.on_photo(levels, tasks.Frame(*made.placed))[-1]["boxes"]
    for box, there in zip(levels[-1]["boxes"], found, strict=True):
        left, top, right, bottom = box["box"]
        inside = [
            2 * left,
            min(max(2 * (top - 6), 0), 24),
            2 * right,
            min(max(2 * (bottom - 6), 0), 24),
        ]
        assert there["box"] == inside, "twice as large, and six rows of the input lie above it"
    console = Console(file=io.StringIO(), width=120)
    console.print(tables.rows_of_levels("wide.png", levels))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    count = len(levels[-1]["boxes"])
    assert count and f"│ {count} │" in shown.replace("  ", " ").replace("  ", " ")
    assert "boxes of level 1" in shown
    assert shown.count("\n") > count
