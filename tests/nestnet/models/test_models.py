"""Models by name, with a width, and from the user's own file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from codegen.errors import UserError
from nestnet import models
from nestnet.frontend.tracing import trace
from tests.support.nets import SHAPES, macs

MAPS = {"fomo": (6, 5, 7), "unet_small": (48, 40, 7), "autoencoder": (48, 40, 2)}
"""Models whose output is a map, and its h, w, c for images of 48x40."""


def test_names() -> None:
    detectors = {"det_c2f", "det_csp", "det_mobilenetv1", "det_mobilenetv2", "ssdlite_mobilenetv2"}
    assert set(models.names()) == set(SHAPES) | detectors  # tests of detection build these
    assert models.DEFAULT in models.names()
    assert all(models.describe(name).endswith((".", ")")) or ":" in models.describe(name)
               for name in models.names())  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("resnet8", 12.50e6), ("mobilenetv1", 46.4e6), ("mobilenetv1@0.25", 3.33e6)],
)
def test_macs(name: str, wanted: float) -> None:
    assert macs(models.build(name, (32, 32, 3), 10), (32, 32, 3)) == pytest.approx(
        wanted, rel=0.005
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("ds_cnn", 2_656_768), ("mobilenetv1_96", 7_489_664), ("resnet8", 12_501_632)],
)
def test_macs_of_the_mlperf_tiny_networks(name: str, wanted: int) -> None:
    """The published networks' counts, to the last multiply-accumulate."""
    design = models.designed_for(name)
    assert design is not None
    shape, classes = design
    assert shape == SHAPES[name]
    assert macs(models.build(name, shape, classes), shape) == wanted


def test_only_shipped_models_know_their_input() -> None:
    assert models.designed_for("mobilenetv1_96@0.5") == ((96, 96, 3), 2)
    assert models.designed_for("some/file.py:make") is None
    with pytest.raises(UserError, match="unknown model"):
        models.designed_for("resnet18")


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"cnn1d", *MAPS}))
def test_models_build_for_other_shapes_and_classes(name: str) -> None:
    module = models.build(name, (48, 40, 2), 7).eval()
    assert module(torch.zeros(3, 2, 48, 40)).shape == (3, 7)
    assert trace(module, (48, 40, 2)).classes == 7


@pytest.mark.parametrize("name", MAPS)
def test_models_of_maps_build_for_other_shapes(name: str) -> None:
    module = models.build(name, (48, 40, 2), 7).eval()
    shape = module(torch.zeros(3, 2, 48, 40)).shape
    net = trace(module, (48, 40, 2))
    assert net.output_shapes == ((*shape[2:], shape[1]),) == (MAPS[name],)


def test_a_network_of_samples_takes_windows_of_other_lengths_and_no_images() -> None:
    module = models.build("cnn1d@0.5", (1, 61, 5), 3).eval()
    assert module(torch.zeros(2, 5, 61)).shape == (2, 3)
    assert trace(module, (1, 61, 5)).classes == 3
    with pytest.raises(UserError, match="expected samples in a row"):
        models.build("cnn1d", (32, 32, 3), 10)


def test_unknown_model_suggests() -> None:
    with pytest.raises(
        UserError, match=r"digits_cnn, .*mobilenetv1_96, resnet8.*Did you mean 'resnet8'"
    ):
        models.build("resnet18", (32, 32, 3), 10)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet8@0.5", "no width multiplier"),
        ("mobilenetv1@wide", "bad width multiplier"),
        ("mobilenetv1@0", "bad width multiplier"),
        ("mobilenetv1@nan", "bad width multiplier"),
        ("mobilenetv1@", "bad width multiplier"),
        ("missing.py:factory", "model file does not exist"),
        ("missing.py", "incomplete name"),
    ],
)
def test_bad_names(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        models.build(name, (32, 32, 3), 10)


OWN = """
import torch
from torch import nn
def net(input_shape, classes):
    h, w, c = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(h * w * c, classes))
def broken(input_shape, classes):
    raise RuntimeError("no such luck\\nsecond line")
def nothing(input_shape, classes):
    return None
def leaving(input_shape, classes):
    exit(3)
class Leaves(nn.Linear):
    def forward(self, x):
        exit("gone")
def late(input_shape, classes):
    return nn.Sequential(nn.Flatten(), Leaves(30, classes))
from torch.nn.functional import relu
"""


def test_own_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    module = models.build(f"{path}:net", (5, 3, 2), 7)
    assert isinstance(module, nn.Sequential)
    assert module(torch.zeros(2, 2, 5, 3)).shape == (2, 7)
    for function, words in (
        ("broken", "the factory failed; got RuntimeError: no such luck, expected"),
        ("nothing", "returned no module; got NoneType"),
        (
            "absent",
            "no such function in the model file; got 'absent', expected net, broken, "
            "nothing, leaving, late. Name",
        ),
        ("leaving", "the factory failed; got SystemExit: 3, expected"),
    ):
        with pytest.raises(UserError, match=words):
            models.build(f"{path}:{function}", (5, 3, 2), 7)


def test_own_file_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(UserError, match="cannot be imported; got ModuleNotFoundError"):
        models.build(f"{path}:net", (5, 3, 2), 7)
    path.write_text("import sys\nsys.exit()\n")
    with pytest.raises(UserError, match="cannot be imported; got SystemExit: no message"):
        models.build(f"{path}:net", (5, 3, 2), 7)


def test_a_forward_that_leaves_the_program_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    with pytest.raises(
        UserError, match=r"mine.py:15: the forward of .* fails by itself.*got SystemExit: gone"
    ):
        trace(models.build(f"{path}:late", (5, 3, 2), 7), (5, 3, 2))


@pytest.mark.parametrize(("model", "multiple"), [
    ("unet_small", 8), ("autoencoder", 8), ("det_mobilenetv1", 16), ("det_csp@0.1x0.1", 16),
])  # fmt: skip
def test_a_size_that_a_model_is_not_made_for_is_refused(model: str, multiple: int) -> None:
    message = rf"^model '{model}': is not made for such an input; got 16x20x3, .* of {multiple} "
    with pytest.raises(UserError, match=message):
        models.build(model, (16, 20, 3), 2)
