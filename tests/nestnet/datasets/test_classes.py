"""Data of other classes than a network's: never run, evaluated or trained on in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet import runs
from nestnet.classes import check_classes, check_names
from nestnet.cli.bench_source import trained
from nestnet.cli.device_images import device_images
from nestnet.training.train import resume
from tests.support.data_trees import random_tree, write_directory

SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run whose classes are ant, bee and cat, in data/ beside its runs/."""
    torch.set_num_threads(1)
    top = tmp_path_factory.mktemp("classes") / "used"
    files, _ = random_tree(size=(8, 9))
    data = write_directory(files, top / "data")
    made = nestnet.train(
        dataset="folder", data=str(data), model="digits_cnn", sparsity=(0.5,), epochs=1,
        out=top / "runs", quiet=True,
    )  # fmt: skip
    shutil.copytree(top, top.parent / "kept")
    return made


@pytest.fixture
def run(trained_run: Path) -> Path:
    """Return the run as it was trained; it names its data, so both are restored where they lay."""
    used = trained_run.parent.parent
    shutil.rmtree(used)
    shutil.copytree(used.parent / "kept", used)
    return trained_run


def _rename(data: Path) -> None:
    for split in SPLITS:
        (data / split / "ant").rename(data / split / "wasp")


def _add(data: Path) -> None:
    for split in SPLITS:
        shutil.copytree(data / split / "ant", data / split / "aphid")


def _remove(data: Path) -> None:
    for split in SPLITS:
        shutil.rmtree(data / split / "bee")


MEETINGS: dict[str, Callable[[Path], object]] = {
    "run": lambda run: device_images(run / runs.MODEL, 2),
    "bench": lambda run: trained(run / runs.MODEL, 2),
    "evaluate": nestnet.evaluate,
    "resume": lambda run: resume(run, quiet=True),
    "init-from": lambda run: nestnet.train(
        nestnet.config.load(run / runs.CONFIG), init_from=str(run), out=run.parent, quiet=True
    ),
}
CHANGES = {
    _rename: "0 'bee', 1 'cat', 2 'wasp'",
    _add: "0 'ant', 1 'aphid', 2 'bee', 3 'cat'",
    _remove: "0 'ant', 1 'cat'",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__.strip("_"))
@pytest.mark.parametrize("meeting", MEETINGS)
def test_changed_class_folders_are_refused(
    meeting: str, change: Callable[[Path], None], run: Path
) -> None:
    MEETINGS[meeting](run)  # with the data as it was
    change(run.parent.parent / "data")
    before = sorted(run.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        MEETINGS[meeting](run)
    assert f"got {CHANGES[change]}, expected 0 'ant', 1 'bee', 2 'cat'" in str(caught.value)
    assert sorted(run.parent.rglob("*")) == before


def test_data_that_has_moved_is_found_where_it_is_said_to_be(run: Path) -> None:
    old, new = run.parent.parent / "data", run.parent.parent / "elsewhere"
    before = device_images(run / runs.MODEL, 5)
    old.rename(new)
    with pytest.raises(UserError, match="no such file or directory"):
        device_images(run / runs.MODEL, 5)
    after = device_images(run / runs.MODEL, 5, str(new))
    assert (
        after.inputs[0] == before.inputs[0]
    ).all() and after.targets.tolist() == before.targets.tolist()
    assert (trained(run / runs.MODEL, 5, str(new)).inputs[0] == before.inputs[0]).all()
    _rename(new)
    with pytest.raises(UserError, match="got 0 'bee', 1 'cat', 2 'wasp'"):
        device_images(run / runs.MODEL, 5, str(new))


@pytest.mark.parametrize("meeting", ["evaluate", "resume"])
def test_images_of_another_size_are_refused(meeting: str, run: Path) -> None:
    files, _ = random_tree(size=(11, 9))
    write_directory(files, run.parent.parent / "data")
    with pytest.raises(UserError, match=r"another shape.*got 11x9x1, expected 8x9x1"):
        MEETINGS[meeting](run)


def test_a_file_without_class_names_needs_their_number_only(run: Path) -> None:
    path = run / runs.MODEL
    graph = nestfile.load(path)
    unnamed = replace(graph, provenance=replace(graph.provenance, class_names=()))
    nestfile.save(unnamed, path)
    assert len(device_images(path, 9).targets) == 9
    _add(run.parent.parent / "data")
    with pytest.raises(UserError, match=r"got 3 outputs, expected 4: .*aphid"):
        device_images(path, 9)


def test_names_that_look_alike_are_the_same() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert composed != decomposed
    check_classes("x", ("b", composed), ("b", decomposed), "Do it")


def test_another_order_is_refused_and_long_lists_show_what_differs() -> None:
    with pytest.raises(UserError, match=r"got 0 'b', 1 'a', expected 0 'a', 1 'b'"):
        check_classes("x", ("a", "b"), ("b", "a"), "Do it")
    names = [f"n{i:03}" for i in range(101)]
    with pytest.raises(UserError) as caught:
        check_classes("x", names, [*names[:97], "m", *names[98:]], "Do it")
    assert "101 classes, of which 97 'm', expected 101 classes, of which 97 'n097'" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b"), r"got 2: 0 'a', 1 'b', expected 3 names"),
        (("a", "b", "c", "d"), r"got 4"),
        (("a", "b", "a"), r"two classes of one name; got 'a'"),
        (("caf\u00e9", "b", "cafe\u0301"), r"two classes of one name"),
    ],
)
def test_export_refuses_names_that_do_not_name_the_outputs(
    names: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(125, 3))
    network = nestnet.nest(module, (7, 7, 1), sparsity=(0.0,))
    images = np.random.default_rng(0).integers(0, 256, (13, 7, 7, 1)).astype(np.uint8)
    nestnet.quantize(network, images)
    with pytest.raises(UserError, match=message):
        nestnet.export(network, tmp_path / "n.nestnet", class_names=names)
    assert not list(tmp_path.iterdir())
    check_names("x", ("a", "b", "c"), 3)
    written = nestnet.export(network, tmp_path / "n.nestnet", class_names=("a", "b", "c"))
    assert nestfile.load(written).provenance.class_names == ("a", "b", "c")
    unnamed = nestnet.export(network, tmp_path / "u.nestnet")
    assert nestfile.load(unnamed).provenance.class_names == ()
