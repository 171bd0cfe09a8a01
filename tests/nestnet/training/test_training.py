"""Whole runs on the digits: what they reach, leave behind and refuse."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet import config as configs
from nestnet import datasets, runs, tasks
from nestnet.config import TrainConfig
from nestnet.net.network import NestedNet
from nestnet.sparsity.levels import check_nested
from nestnet.tasks.classification import TASK
from nestnet.training.checkpoint import Checkpoint, save_checkpoint
from nestnet.training.device import suitable_threads
from nestnet.training.session import model_for, prepare

SHORT = TrainConfig(epochs=8, split=(0.4, 0.2, 0.2, 0.2))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return nestnet.train(replace(SHORT, epochs=12), out=tmp_path_factory.mktemp("runs"), quiet=True)


def test_every_level_learns_and_the_files_agree(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [
        runs.CHECKPOINT,
        runs.CONFIG,
        runs.METRICS,
        runs.MODEL,
    ]
    graph = nestfile.load(run / runs.MODEL)
    config = configs.load(run / runs.CONFIG)
    assert graph.provenance.parent_sha256 == nestfile.file_sha256(run / runs.CHECKPOINT)
    assert graph.provenance.model == "digits_cnn"
    for level, wanted in zip(graph.levels, config.sparsity, strict=True):
        assert level.sparsity == pytest.approx(wanted, abs=0.002)
        assert level.accuracy_quantized is not None and level.accuracy_quantized > 0.9
        assert level.accuracy_float is not None
        assert abs(level.accuracy_quantized - level.accuracy_float) < 0.03
    found = nestnet.evaluate(run)
    assert [entry.accuracy_quantized for entry in found] == [
        level.accuracy_quantized for level in graph.levels
    ]


def test_metrics_have_a_line_per_epoch_and_level(run: Path) -> None:
    lines = [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()]
    config = configs.load(run / runs.CONFIG)
    for phase in config.phases():
        levels = [3] if phase.name == "warm-up" else [0, 1, 2, 3]
        for epoch in range(phase.first + 1, phase.last + 1):
            entries = [line for line in lines if line["epoch"] == epoch]
            assert [entry["level"] for entry in entries] == levels
            assert {entry["phase"] for entry in entries} == {phase.name}
            assert {entry["quantized"] for entry in entries} == {phase.name == "quantize"}
    ramp = [line["sparsity"] for line in lines if line["phase"] == "ramp" and line["level"] == 0]
    assert ramp == sorted(ramp) and ramp[-1] == pytest.approx(0.9, abs=0.002)


@pytest.mark.parametrize(
    "split", [(0.2, 0.3, 0.3, 0.2), (0.4, 0.6, 0.0, 0.0), (0.4, 0.0, 0.3, 0.3)]
)
def test_masks_stay_as_the_ramp_leaves_them(
    split: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new ranking after the recovery once cost the sparsest level 5 points on CIFAR-10."""
    maps: dict[int, dict[str, torch.Tensor]] = {}

    def keep(state: Checkpoint, path: Path) -> None:
        found = {k: t.clone() for k, t in state.network.items() if k.endswith("level_map")}
        maps[state.epoch] = found
        save_checkpoint(state, path)

    record = importlib.import_module("nestnet.training.record")
    monkeypatch.setattr(record, "save_checkpoint", keep)
    config = replace(SHORT, epochs=10, split=split)
    nestnet.train(config, out=tmp_path, quiet=True)
    first = next(phase for phase in config.phases() if phase.name != "warm-up")
    pruned = first.last if first.name == "ramp" else first.first + 1
    assert maps[pruned], "no masks"
    for epoch in range(pruned, config.epochs + 1):
        for key, level_map in maps[pruned].items():
            assert torch.equal(maps[epoch][key], level_map), (epoch, key)


def test_same_seed_same_bytes_other_seed_other_bytes(run: Path, tmp_path: Path) -> None:
    config = configs.load(run / runs.CONFIG)
    again = nestnet.train(config, out=tmp_path, quiet=True)
    other = nestnet.train(config, out=tmp_path, quiet=True, seed=1, epochs=1)
    assert (again / runs.CHECKPOINT).read_bytes() == (run / runs.CHECKPOINT).read_bytes()
    assert (other / runs.CHECKPOINT).read_bytes() != (run / runs.CHECKPOINT).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"sparsity": (0.0,)},
        {"sparsity": (0.8,)},
        {"sparsity": (0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.3, 0.0)},
        {"group": "1x1", "allocation": "uniform", "routing": "shell"},
        {"group": "1x2", "routing": "mixed", "dense_layers": ("down",)},
        {"epochs": 1},
        {"epochs": 2},
        {"epochs": 3, "split": (0.0, 0.0, 1.0, 0.0), "amp": "off", "momentum": 0.0},
    ],
)
def test_configurations_end_in_a_model_with_their_levels(
    change: dict[str, object], tmp_path: Path
) -> None:
    config = replace(SHORT, **{"epochs": 3, **change})  # type: ignore[arg-type]
    folder = nestnet.train(config, out=tmp_path, quiet=True)
    graph = nestfile.load(folder / runs.MODEL)
    achieved = [level.sparsity for level in graph.levels]
    assert achieved == pytest.approx(config.sparsity, abs=0.005)


def test_training_starts_from_another_run(run: Path, tmp_path: Path) -> None:
    fresh = nestnet.train(SHORT, out=tmp_path, quiet=True, epochs=1, lr=1e-6)
    onward = nestnet.train(SHORT, out=tmp_path, quiet=True, epochs=1, lr=1e-6, init_from=run)
    assert nestnet.evaluate(fresh)[3].accuracy_float < 0.5
    assert nestnet.evaluate(onward)[3].accuracy_float > 0.9
    named = nestnet.train(SHORT, out=tmp_path, quiet=True, epochs=1, lr=1e-6, init_from=onward.name)
    assert nestnet.evaluate(named)[3].accuracy_float > 0.9
    with pytest.raises(UserError, match="does not fit the network"):
        nestnet.train(
            SHORT, out=tmp_path, quiet=True, model="resnet8", init_from=str(run), resize=(32, 32)
        )


def test_own_module_trains_resumes_and_refuses_wrong_classes(tmp_path: Path) -> None:
    def make(classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 7, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(7, 11, 3, stride=2),
            nn.BatchNorm2d(11),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(99, classes),
        )

    folder = nestnet.train(SHORT, module=make(10), out=tmp_path, quiet=True, epochs=2)
    assert configs.load(folder / runs.CONFIG).model == "module:Sequential"
    assert nestfile.load(folder / runs.MODEL).provenance.model == "module:Sequential"
    assert nestnet.resume(folder, module=make(10), quiet=True) == folder
    with pytest.raises(UserError, match="only Python knows"):
        nestnet.evaluate(folder)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"7 outputs.*10"):
        nestnet.train(SHORT, module=make(7), out=tmp_path, quiet=True)
    with pytest.raises(UserError, match=r"1 outputs.*10.*one output per class.*sigmoid"):
        nestnet.train(SHORT, module=make(1), out=tmp_path, quiet=True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("settings", "fragment"),
    [
        ({"epocs": 3}, "Did you mean 'epochs'"),
        ({"model": "digits_cn"}, "digits_cnn"),
        ({"dataset": "digit"}, "digits"),
        ({"dense_layers": ("nowhere",)}, "nowhere"),
        ({"group": "1x4", "allocation": "uniform", "sparsity": (0.9, 0.8999)}, "too few groups"),
        ({"init_from": "nowhere"}, "--init-from: no such run"),
    ],
)
def test_mistakes_leave_nothing_behind(
    settings: dict[str, object], fragment: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        nestnet.train(SHORT, out=tmp_path / "runs", quiet=True, **settings)
    assert fragment in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no CUDA device"):
        nestnet.train(SHORT, out=tmp_path, quiet=True, device="cuda")


def _nested(routing: str, group: str = "1x2") -> NestedNet:
    torch.manual_seed(4)
    module = nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.ReLU(),
        nn.Conv2d(5, 7, 3),
        nn.BatchNorm2d(7),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(112, 3),
    )
    return nestnet.nest(module, (8, 8, 1), sparsity=(0.8, 0.6, 0.3), group=group, routing=routing)


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        ("shared", [[1, 0, 0], [1, 1, 0], [1, 1, 1]]),
        ("shell", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("mixed", [[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]]),
    ],
)
def test_routing_sends_each_gradient_where_it_says(
    routing: str, expected: list[list[float]]
) -> None:
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for level in range(3):
        gradients = {}
        for kind in ("shared", routing):
            network = _nested(kind).train()
            torch.autograd.backward(network(images, level).square().sum())
            gradients[kind] = network.prunable()["2"].weight.grad
        assert gradients["shared"] is not None and gradients[routing] is not None
        level_map = network.prunable()["2"].module.level_map
        assert level_map is not None
        of_weight = level_map.repeat_interleave(2, dim=1)[:, :5]
        for shell in range(3):
            chosen = of_weight == shell
            wanted = gradients["shared"][chosen] * expected[level][shell]
            assert torch.equal(gradients[routing][chosen], wanted)
            if expected[level][shell]:
                assert bool(gradients[routing][chosen].abs().sum() > 0)
        assert bool((gradients[routing][of_weight == 255] == 0).all())


def test_the_teacher_gets_no_gradient_from_the_student() -> None:
    network = _nested("shared").eval()
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    norm_of = [name for name, _ in network.named_parameters() if name.endswith("weight.2")]
    grads = []
    for active in ((2,), (2, 0)):
        network.zero_grad()
        outputs = [network.logits(images, level) for level in active]
        torch.autograd.backward(TASK.loss(outputs, labels, images, TrainConfig(distill_weight=1.0)))
        grads.append({n: p.grad.clone() for n, p in network.named_parameters() if n in norm_of})  # type: ignore[union-attr]
    assert norm_of and all(torch.equal(grads[0][n], grads[1][n]) for n in norm_of)


@pytest.mark.parametrize("group", ["1x1", "1x2", "1x4"])
def test_nest_quantize_export_for_an_own_loop(group: str, tmp_path: Path) -> None:
    network = _nested("shared", group)
    for name, layer in network.prunable().items():
        masks = [layer.module.mask(level) for level in range(3)]
        check_nested([mask for mask in masks if mask is not None], name)
        kept = [float(mask.mean()) for mask in masks if mask is not None]
        assert kept == pytest.approx([0.2, 0.4, 0.7], abs=0.02)
    images = datasets.load("digits").train.images[:50]
    path = nestnet.export(nestnet.quantize(network, images), tmp_path / "My Net.nestnet")
    graph = nestfile.load(path)
    assert graph.name == "my_net"
    assert [level.accuracy_float for level in graph.levels] == [None] * 3


def test_default_model_follows_the_image_size() -> None:
    config = TrainConfig()
    assert model_for(config, TASK, (8, 8, 1)) == "digits_cnn"
    assert model_for(config, TASK, (32, 32, 3)) == "resnet8"
    assert model_for(config, tasks.of("segmentation"), (8, 8, 1)) == "unet_small"
    assert model_for(TrainConfig(model="own.py:net"), TASK, (8, 8, 1)) == "own.py:net"


def test_small_networks_run_on_one_thread_and_large_ones_keep_theirs() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    digits = prepare(SHORT, quiet=True)
    assert digits.macs_per_step == 128 * (64 * 9 * 16 + 16 * 9 * 32 * (16 + 32 + 32) + 320)
    with suitable_threads(digits.macs_per_step):
        assert torch.get_num_threads() == 1
    with suitable_threads(128 * 12_500_000):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_weight_decay_spares_norms_and_biases() -> None:
    session = prepare(SHORT, quiet=True)
    decays = {
        group["weight_decay"]: {p.dim() > 1 for p in group["params"]}
        for group in session.optimizer.param_groups
    }
    assert decays == {SHORT.weight_decay: {True}, 0.0: {False}}
