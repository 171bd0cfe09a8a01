"""What is known of each class, and of one photo: tables, JSON and the C header agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nestnet
from codegen import tasks
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ops.softmax import Softmax
from codegen.graph.synthetic import linear_layer_graph, random_images
from codegen.tasks import Outcome
from codegen.tasks.classification import TASK, confusion
from codegen.tasks.segmentation import TASK as SEGMENTATION
from codegen.tasks.segmentation import MaskAnswer
from nestnet.cli.photo import read_photo
from tests.support.commands import ROOT, Here
from tests.support.edge_nets import TILE, segments_tiles
from tests.support.projects import small_graph

RUN = "runs/net-digits-1"


@pytest.fixture
def model(workspace: Path, tmp_path: Path) -> Path:
    """Return the network of a finished run of the digits."""
    shutil.copytree(workspace / "runs", tmp_path / "runs")
    return tmp_path / RUN / "model.nestnet"


def test_confusion_counts_every_image_once() -> None:
    outputs = np.array([[3, 3, 1], [0, 5, 9], [-4, 7, 7], [1, 0, 0]], np.int8)[:, None, None]
    labels = np.array((1, 2, 1, 0))
    assert confusion(outputs, labels) == ((1, 0, 0), (1, 1, 0), (0, 0, 1))
    outcome = Outcome(small_graph(), 0, (), (outputs,))
    assert TASK.score(outcome, labels) == 0.75
    assert TASK.details(outcome, None) == {"confusion": None, "macro_f1": None}
    found = TASK.details(outcome, labels)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_run_and_evaluate_tell_the_classes_apart(model: Path, here: Here) -> None:
    done = here("run", "--board", "host", "--images", "1000", "--json", "r.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((model.parents[2] / "r.json").read_text())
    assert report["class_names"] == [str(digit) for digit in range(10)]
    for level, entry in zip(report["levels"], nestnet.evaluate(model.parent), strict=True):
        counts = np.array(level["confusion"])
        assert counts.shape == (10, 10) and counts.sum() == 360
        assert counts.trace() / 360 == pytest.approx(level["accuracy_device"])
        of_class = counts.diagonal() / counts.sum(axis=1)
        trained = np.array(entry.confusion)
        assert trained.sum(axis=1).tolist() == counts.sum(axis=1).tolist()
        assert trained.trace() / 360 == entry.accuracy_quantized
        assert abs(trained - counts).sum() <= 8, "int8 and fake-quantized differ in some images"
        assert list(entry.accuracy_of.values()) == pytest.approx(
            list(trained.diagonal() / trained.sum(axis=1))
        )
        for index, share in enumerate(of_class):
            row = next(line for line in done.stdout.splitlines() if line.startswith(f"│ {index} "))
            assert f"{100 * share:.1f} %" in row


def photo(path: Path, size: tuple[int, int] = (47, 53), mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_a_photo_is_classified_as_the_reference_does(model: Path, here: Here) -> None:
    folder = model.parents[2]
    picture = photo(folder / "a photo.png")
    done = here("predict", picture, "--c-array", "out/int.h", "--json", "out/c.json")
    assert done.returncode == 0, done.stderr
    assert "colour made grey; scaled from 47x53 to 8x8" in done.stdout
    graph = nestfile.load(model)
    grey = Image.open(picture).convert("L").resize((8, 8), Image.Resampling.BILINEAR)
    image = read_photo(picture, graph).image
    near = np.abs(image[..., 0].astype(int) + 128 - np.asarray(grey).astype(int))
    assert near.max() <= 1, "grey before scaling or after: a rounding"
    found = json.loads((folder / "out/c.json").read_text())
    header = (folder / "out/int.h").read_text()
    assert "Photo a photo.png as network net_digits_1" in header
    assert nestfile.file_sha256(model) in header
    for level in (0, 1):
        output = reference.run_one(graph, image[None], level).reshape(-1)
        classes = found["levels"][level]["classes"]
        assert [entry["output"] for entry in classes] == sorted(output.tolist(), reverse=True)
        assert classes[0]["class"] == int(output.argmax())
        assert sum(entry["share"] for entry in classes) == pytest.approx(1, abs=1e-4)
        assert f"Level {level}: class {int(output.argmax())}" in header
    _check_c(folder / "out", image, [reference.run_one(graph, image[None], k) for k in (0, 1)])


def _check_c(folder: Path, image: np.ndarray, outputs: list[np.ndarray]) -> None:
    """Compile the header under strict warnings; what it holds is what is given."""
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "int.h"\n#include "int.h"\nint main(void)\n{\n'
        '    for (unsigned i = 0; i < sizeof nn_int; i++) printf("%d ", nn_int[i]);\n'
        "    for (unsigned k = 0; k < sizeof nn_int_output / sizeof nn_int_output[0]; k++)\n"
        "        for (unsigned i = 0; i < sizeof nn_int_output[0]; i++)\n"
        '            printf("%d ", nn_int_output[k][i]);\n'
        "    return 0;\n}\n"
    )
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    subprocess.run(["cc", *flags, "main.c", "-o", "main"], cwd=folder, check=True)
    shown = subprocess.run([folder / "main"], capture_output=True, text=True, check=True).stdout
    expected = np.concatenate([image.reshape(-1), *(output.reshape(-1) for output in outputs)])
    assert [int(word) for word in shown.split()] == expected.tolist()


@pytest.mark.parametrize(("name", "message"), [
    ("absent.png", r"absent\.png: cannot read the photo; got No such file"),
    ("text.png", r"text\.png: not a readable image"),
])  # fmt: skip
def test_what_is_no_photo_is_refused(name: str, message: str, model: Path, here: Here) -> None:
    (model.parents[2] / "text.png").write_text("no image")
    done = here("predict", name, "--c-array", "x.h")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert not (model.parents[2] / "x.h").exists()


def test_a_network_that_takes_no_photo(tmp_path: Path) -> None:
    graph = linear_layer_graph(5, 7)
    with pytest.raises(UserError, match=r"does not take photos; got an input of"):
        read_photo(photo(tmp_path / "x.png"), graph)
    answers = TASK.answers(graph, random_images(graph, 1, 0)[0])
    assert [answer.label for answer in answers] == [
        graph.provenance.class_names[answer.best] if graph.provenance.class_names else ""
        for answer in answers
    ]
    assert len(TASK.as_json(graph, answers)) == len(graph.levels)


def test_a_network_that_chooses_no_class_is_refused(tmp_path: Path, here: Here) -> None:
    net = GraphBuilder((5, 7, 3), 2, 1)
    net.conv("input", 4, (1, 1))
    nestfile.save(net.graph({net.last: "map"}), tmp_path / "model.nestnet")
    done = here("predict", photo(tmp_path / "x.png"), "--run", tmp_path / "model.nestnet")
    assert done.returncode == 2
    assert re.search(
        r"does not say what its outputs mean; got map 5x7x4, expected a task", done.stderr
    )


def test_two_photos_of_one_name_do_not_compile_together(model: Path, here: Here) -> None:
    folder = model.parents[2]
    for name in ("one", "two"):
        photo(folder / f"{name}.png", (11, 13) if name == "one" else (13, 11))
        done = here("predict", f"{name}.png", "--c-array", f"{name}/photo.h")
        assert done.returncode == 0, done.stderr
    for header in ("one", "two"):
        (folder / "both.c").write_text(
            f'#include "one/photo.h"\n#include "{header}/photo.h"\n'
            "const void *used[] = {nn_photo, nn_photo_output};\n"
        )
        command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "both.c", "-o", "x.o"]
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert (built.returncode == 0) == (header == "one"), built.stderr
    assert "two different images are called nn_photo" in built.stderr


@pytest.mark.parametrize("header", [
    "model.h", "weights.h", "nestnet.h", "nn_config.h", "out/nn_walk.h", "run.h", "net.h",
    "model_net.h", "Argmax.h",
])  # fmt: skip
def test_a_header_of_a_name_that_c_has_is_refused(header: str, model: Path, here: Here) -> None:
    folder = model.parents[2]
    photo(folder / "a.png")
    done = here("predict", "a.png", "--c-array", header)
    assert done.returncode == 2 and "has this name already" in done.stderr
    assert not (folder / header).exists()


def test_a_header_beside_the_configuration(model: Path, here: Here) -> None:
    """config.h is free, and its include guard is not that of nn_config.h."""
    folder = model.parents[2]
    photo(folder / "a.png")
    assert here("predict", "a.png", "--c-array", "config.h").returncode == 0
    (folder / "x.c").write_text(
        '#include "config.h"\n#include "nn_config.h"\n#if NN_MAX_LEVELS != 16\n#error\n#endif\n'
        "const void *used[] = {nn_config, nn_config_output};\n"
    )
    command = ["cc", "-Wall", "-Werror", f"-I{ROOT / 'firmware'}", "-c", "x.c", "-o", "x.o"]
    subprocess.run(command, cwd=folder, check=True)


def test_a_flat_softmax_of_many_classes_gives_equal_shares() -> None:
    """Every probability is below half a step of the output: all outputs say 0."""
    net = GraphBuilder((1, 1, 3), 1, 1)
    last = net.linear("input", 1009)
    net.softmax(last)
    graph = net.graph()
    softmax = graph.ops[-1]
    assert isinstance(softmax, Softmax)
    flat = replace(softmax, table=np.full_like(softmax.table, 2**15))
    graph = replace(graph, ops=(*graph.ops[:-1], flat))
    (answer,) = TASK.answers(graph, np.zeros((1, 1, 3), np.int8))
    assert set(answer.output.tolist()) == {-128}
    assert np.allclose(answer.shares, 1 / 1009)
    json.dumps(TASK.as_json(graph, (answer,)), allow_nan=False)


def test_a_photo_of_any_size_is_segmented_in_tiles(here: Here, tmp_path: Path) -> None:
    graph = segments_tiles(1, 2, inputs=1)
    nestfile.save(graph, tmp_path / "cells.nestnet")
    picture = photo(tmp_path / "cells.png", (29, 31), "L")
    given = ("predict", picture, "--run", "cells.nestnet")
    done = here(*given, "--picture", "drawn.png", "--json", "said.json")
    assert done.returncode == 0, done.stderr
    assert "29x31 in tiles of 13x11" in done.stdout
    assert Image.open(tmp_path / "drawn.png").size == (31, 29)
    image = (np.asarray(Image.open(picture)).astype(np.int16) - 128).astype(np.int8)[..., None]
    answers = SEGMENTATION.answers(graph, image)
    levels = json.loads((tmp_path / "said.json").read_text())["levels"]
    for level, answer in zip(levels, answers, strict=True):
        assert isinstance(answer, MaskAnswer)
        assert level["shares"]["1"] == pytest.approx(answer.mask.mean(), abs=1e-6)
    done = here(*given, "--c-array", "cells.h")
    assert done.returncode == 2 and "got 29x31, expected 13x11, a single tile" in done.stderr
    assert here("predict", photo(tmp_path / "one.png", TILE, "L"), *given[2:], "--c-array", "one.h")
    assert "nn_one[143]" in (tmp_path / "one.h").read_text()


def test_objects_are_where_they_are_in_the_photo(tmp_path: Path) -> None:
    """A heat map learns from photos that keep their proportions, and is shown such."""
    task = tasks.TASKS["heat_map"]
    assert task.keeps_proportions
    levels = [{"level": 0, "objects": [{"class": "nut", "y": 6.0, "x": 3.0}]}]
    frame = tasks.Frame((0.5, 0.5), (0.0, 2.0), (20, 7))
    assert task.on_photo(levels, frame)[0]["objects"] == [{"class": "nut", "y": 7.0, "x": 6.0}]
    assert tasks.TASKS["classification"].on_photo(levels, frame) == levels
