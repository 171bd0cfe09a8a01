"""What a network sees of samples, and that a device computes the same from the raw numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.sources.spectrogram import Spectrogram
from nestnet import config, runs
from nestnet.cli.device_images import device_images
from nestnet.net.quantizer import round_input
from nestnet.samples import REACH, Samples, measured, samples_of
from nestnet.training.session import default_model

CENTER, SPREAD = np.array([300.0, -2.5, 9000.0]), np.array([90.0, 4000.0, 9.0])


def raw(n: int, dtype: type = np.int16, seed: int = 0) -> NDArray[np.int16]:
    """Return windows (n, 1, 11, 3), each channel around its centre."""
    made = np.random.default_rng(seed).normal(CENTER, SPREAD, (n, 1, 11, 3))
    return np.clip(np.rint(made) if dtype == np.int16 else made, -32768, 32767).astype(dtype)


def seen(
    x: NDArray[np.int16], mean: tuple[float, ...] = (), std: tuple[float, ...] = ()
) -> Samples:
    return samples_of(*measured(x, mean, std), x.dtype)


def test_the_middle_becomes_0_and_999_of_1000_values_fit() -> None:
    mean, std, reach = measured(raw(3001))
    assert np.allclose(mean, CENTER, atol=SPREAD / 30) and reach == REACH
    # of a normal distribution 99.9 % lie within 3.29 standard deviations
    assert np.allclose(np.array(std) * REACH, 3.29 * SPREAD, rtol=0.1)
    assert [float(f"{value:.6g}") for value in (*mean, *std)] == [*mean, *std]


def test_a_given_normalization_is_kept_and_its_reach_measured() -> None:
    x = raw(3001)
    mean, std, reach = measured(x, (0.0,), (100.0,))
    assert (mean, std) == ((0.0,) * 3, (100.0,) * 3)
    assert reach == pytest.approx(13300 / 100, rel=0.1), "the second channel reaches farthest"
    values = samples_of(mean, std, reach, x.dtype).to_float(torch.from_numpy(x))
    assert torch.allclose(
        values.permute(0, 2, 3, 1), torch.from_numpy(x / 100.0).float(), atol=0.02
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_training_sees_what_the_device_computes(dtype: type) -> None:
    x = raw(501, dtype)
    made = seen(x)
    values = made.to_float(torch.from_numpy(x))
    assert values.shape == (501, 3, 1, 11) and values.dtype == torch.float32
    exact = (x - np.array(measured(x)[0])) / np.array(measured(x)[1])
    assert np.abs(values.permute(0, 2, 3, 1).numpy() - exact).max() < 0.01
    rounded = round_input(values, made.scale, 0).permute(0, 2, 3, 1).numpy() / made.scale
    quantized = made.source.quantize(x)
    # training rounds up what is a little below a half
    steps = values.permute(0, 2, 3, 1).numpy() / made.scale
    close = np.abs(steps - np.floor(steps) - 0.5) < 2.0**-12
    assert np.array_equal(rounded[~close], quantized[~close]) and close.mean() < 0.01
    assert len(np.unique(rounded)) > 200


def test_the_model_of_samples_and_of_sound() -> None:
    assert default_model((1, 128, 6), "arrays") == "cnn1d"
    assert default_model((49, 10, 1), "wav") == "ds_cnn"
    assert default_model((49, 10, 1), "arrays") == "resnet8"


def test_random_samples_are_in_reach() -> None:
    for dtype in (np.int16, np.float32):
        made = seen(raw(501, dtype))
        some = made.random(np.random.default_rng(0), (9, 1, 11, 3))
        values = made.to_float(torch.from_numpy(some))
        assert some.dtype == dtype and 1.5 < values.abs().max() < REACH + 0.1


def test_test_data_out_of_reach_are_spoken_of() -> None:
    made = seen(raw(501))
    assert not made.oddities(raw(99, seed=1))
    (said,) = made.oddities(np.clip(raw(99) * [1, 3, 1], -32768, 32767).astype(np.int16))
    assert re.match(r"\d\d\.\d% of the test values of channel 1 saturate", said)


@pytest.mark.parametrize(
    ("x", "mean", "std", "named"),
    [
        (raw(9), (1.0, 2.0), (1.0,), "got 2 numbers as mean, expected 1, or 3: one a channel"),
        (raw(9), (1.0,), (0.0,), "got std (0.0,), expected numbers above 0"),
        (raw(9) * np.int16(0), (), (), "channel 0 says nothing; got 0 everywhere"),
    ],
)
def test_what_says_nothing_is_refused(
    x: NDArray[np.int16], mean: tuple[float, ...], std: tuple[float, ...], named: str
) -> None:
    with pytest.raises(UserError, match=re.escape(named)):
        measured(x, mean, std)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of windows of two classes that the first channel tells apart."""
    folder = tmp_path_factory.mktemp("samples")
    x, y = raw(96), np.arange(96) % 2
    x[..., 0] += (y * 200)[:, None, None].astype(np.int16)
    np.savez(folder / "motion.npz", x_train=x[:64], y_train=y[:64], x_test=x[64:], y_test=y[64:])
    return nestnet.train(
        out=folder / "runs",
        quiet=True,
        dataset="arrays",
        data=folder / "motion.npz",
        model="cnn1d@0.25",
        sparsity=(0.5, 0.2),
        epochs=5,
        batch=16,
        augment="jitter",
    )


def test_a_run_records_what_was_measured_and_its_network_how_to_quantize(trained: Path) -> None:
    settings = config.load(trained / runs.CONFIG)
    assert settings.reach == REACH and len(settings.mean) == len(settings.std) == 3
    graph = nestfile.load(trained / runs.MODEL)
    assert graph.only_input.meaning == "samples" and graph.only_input.shape == (1, 11, 3)
    data = np.load(trained.parents[1] / "motion.npz")
    made = samples_of(settings.mean, settings.std, settings.reach, np.dtype(np.int16))
    assert graph.only_input.source == made.source
    images = device_images(trained / runs.MODEL, 32)
    assert np.array_equal(images.inputs[0], made.source.quantize(data["x_test"]))
    answers = reference.run(graph, images.inputs, 1)[0].reshape(32, 2).argmax(axis=1)
    reached = graph.levels[1].accuracy_quantized
    assert (answers == data["y_test"]).mean() == pytest.approx(reached, abs=0.07)
    assert reached is not None and reached > 0.8


def test_a_run_is_evaluated_and_continued_by_what_it_recorded(
    trained: Path, tmp_path: Path
) -> None:
    """Not by what other data would measure."""
    before = nestnet.evaluate(trained)
    data = dict(np.load(trained.parents[1] / "motion.npz"))
    data["x_train"] = (data["x_train"] // 3).astype(np.int16)
    np.savez(tmp_path / "motion.npz", **data)
    after = nestnet.evaluate(trained, data=str(tmp_path / "motion.npz"))
    assert [level.accuracy_quantized for level in after] == [
        level.accuracy_quantized for level in before
    ]


def test_other_data_are_refused(trained: Path, tmp_path: Path) -> None:
    data = dict(np.load(trained.parents[1] / "motion.npz"))
    floats = {k: v.astype(np.float32) if k.startswith("x") else v for k, v in data.items()}
    np.savez(tmp_path / "motion.npz", **floats)
    with pytest.raises(UserError, match="not what the network was trained on; got float32"):
        device_images(trained / runs.MODEL, 3, str(tmp_path / "motion.npz"))


@pytest.mark.parametrize("augment", ["crop", "flip-crop", "sound"])
def test_an_augmentation_of_other_data_is_refused(augment: str, trained: Path) -> None:
    place = trained.parents[1] / "motion.npz"
    with pytest.raises(UserError, match="--augment: is for"):
        nestnet.train(quiet=True, dataset="arrays", data=place, augment=augment)
    with pytest.raises(UserError, match="--augment: is for"):
        nestnet.train(quiet=True, augment="jitter")


def test_sound_is_part_of_what_a_network_sees() -> None:
    what = Spectrogram(rate_hz=8000, frame=320, hop=160, frames=3)
    made = samples_of((0.0,), (50.0,), 2.0, np.dtype(np.int16), what)
    assert made.source.spectrogram == what  # type: ignore[union-attr]


def test_samples_of_a_loop_of_ones_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv1d(8, 8, 3), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(56, 2),
    )  # fmt: skip
    x = raw(99)
    net = nestnet.nest(module, (11, 3), samples=x, sparsity=(0.5,))
    values = net.pixels.to_float(torch.from_numpy(x))
    nestnet.quantize(net, x)
    graph = nestfile.load(nestnet.export(net, tmp_path / "own.nestnet"))
    source = graph.only_input.source
    assert source == seen(x).source
    answers = reference.run(graph, (source.quantize(x),), 0)[0].reshape(99, 2)
    output = graph.only_output
    real = (answers.astype(float) - output.zero_point) * output.scale[0]
    wanted = net.eval()(values).detach().numpy()
    assert np.abs(real - wanted).max() <= 2.1 * output.scale[0]
    for wrong in (
        x[0],
        x.astype(np.int32),
        [1],
        x[:, :, :5],
        np.full((9, 1, 11, 3), np.nan, np.float32),
    ):
        with pytest.raises(UserError, match="finite int16 or float32 numbers"):
            nestnet.nest(module, (11, 3), samples=wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected a int16 NumPy array"):
        nestnet.quantize(net, x.astype(np.float32))
