"""A flash budget is met exactly, by both methods, or refused with the reason."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import NEVER
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.lower import lowering
from codegen.target.target import resolve
from nestnet import config as configs
from nestnet import runs
from nestnet.cli import options
from nestnet.config import TrainConfig
from nestnet.shorthand import default_sparsity
from nestnet.sparsity.budget import HEADROOM
from nestnet.sparsity.east import RELATIVE_TIME
from nestnet.tasks.classification import Classification
from nestnet.training import checkpoint
from nestnet.training.session import Session, prepare
from nestnet.training.train import resume, train

SHORT = TrainConfig(epochs=5, split=(0.4, 0.4, 0.0, 0.2), batch=256, flash_bytes=8192)


def _metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()]


def _session(**changes: object) -> Session:
    return prepare(replace(SHORT, **changes), quiet=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "levels", "flash_bytes", "codecs"),
    [
        ("east", 1, 4099, "lz4"),
        ("east", 1, 9973, "raw"),
        ("east", 4, 8192, "lz4"),
        ("east", 4, 16384, "all"),
        ("magnitude", 1, 8192, "lz4"),
        ("magnitude", 3, 6007, "all"),
    ],
)
def test_a_run_fills_its_budget_and_never_exceeds_it(
    method: str, levels: int, flash_bytes: int, codecs: str, tmp_path: Path
) -> None:
    config = replace(
        SHORT,
        method=method,
        sparsity=default_sparsity(levels),
        flash_bytes=flash_bytes,
        codecs=codecs,
    )
    run = train(config, tmp_path, quiet=True)
    graph = nestfile.load(run / runs.MODEL)
    assert graph.provenance.flash_budget_bytes == flash_bytes
    assert graph.provenance.codecs == codecs
    chosen = resolve("host", graph.provenance)
    assert (chosen.optimize, chosen.codecs) == ("size", codecs)
    image = lowering.lower(graph, chosen).image_bytes
    assert 0.99 * flash_bytes <= len(image) <= flash_bytes
    last = _metrics(run)[-1]
    assert last["stored_bytes"] == len(image)
    pruned = [level.sparsity for level in graph.levels]
    assert last["sparsity"] == pytest.approx(pruned[-1], abs=1e-6)
    shares = [(1 - share) / (1 - pruned[-1]) for share in pruned]
    least = 1 - config.sparsity[-1]
    assert shares == pytest.approx([(1 - s) / least for s in config.sparsity], abs=0.01)
    kept = [
        op.group_level
        for op in graph.ops
        if isinstance(op, Conv2D | Linear) and op.group_level is not None
    ]
    assert len(kept) == 3
    assert all(set(found.flat) <= {*range(levels), NEVER} for found in kept)


@pytest.mark.parametrize("codecs", ["all", "lz4", "raw"])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("group", ["1x1", "1x2", "1x4"])
def test_what_training_counts_is_what_codegen_stores(
    codecs: str, levels: int, group: str, tmp_path: Path
) -> None:
    session = _session(
        codecs=codecs, group=group, sparsity=default_sparsity(levels), flash_bytes=11003
    )
    assert session.budget is not None
    session.budget.prune(1.0)
    images = session.train.images[:64].numpy()
    path = nestnet.export(nestnet.quantize(session.network, images), tmp_path / "net.nestnet")
    packed = lowering.lower(nestfile.load(path), resolve("host", optimize="size", codecs=codecs))
    assert session.budget.stored_bytes == len(packed.image_bytes)


@pytest.mark.parametrize("group", ["1x1", "1x4"])
@pytest.mark.parametrize("flash_bytes", [6144, 12288, 16384])
def test_encoding_aware_pruning_needs_less_sparsity(
    flash_bytes: int, group: str, trained: Path
) -> None:
    found = {}
    for method in ("east", "magnitude"):
        session = _session(
            method=method,
            group=group,
            sparsity=(0.5,),
            flash_bytes=flash_bytes,
            codecs="lz4",
            init_from=str(trained),
        )
        assert session.budget is not None
        session.budget.prune(1.0)
        assert 0.99 * flash_bytes <= session.budget.stored_bytes <= flash_bytes
        found[method] = sum(_kept(session).values())
    assert found["east"] > found["magnitude"]


def test_groups_chosen_per_layer_take_no_longer_than_the_dense_network(trained: Path) -> None:
    chosen = set()
    for flash_bytes in (5003, 9001, 14009):
        session = _session(sparsity=(0.7,), flash_bytes=flash_bytes, init_from=str(trained))
        assert session.budget is not None
        session.budget.prune(1.0)
        assert 0.99 * flash_bytes <= session.budget.stored_bytes <= flash_bytes
        time = dense = 0.0
        for layer in session.layers.values():
            mask = layer.module.kept()
            assert mask is not None
            relative = 1.0 if bool(mask.all()) else RELATIVE_TIME[layer.module.group_size]
            time += layer.positions * float(mask.sum()) * relative
            dense += layer.positions * mask.numel()
            chosen.add((layer.module.group_size, relative == 1.0))
        assert time <= 1.02 * dense
    assert len(chosen) > 1


def test_a_group_given_by_hand_is_that_of_every_layer(trained: Path) -> None:
    session = _session(
        group="1x1", sparsity=(0.7,), flash_bytes=14009, init_from=str(trained), codecs="all"
    )
    assert session.budget is not None
    session.budget.prune(1.0)
    assert {layer.module.group_size for layer in session.layers.values()} == {1}
    masks = [layer.module.kept() for layer in session.layers.values()]
    assert min(float(mask.mean()) for mask in masks if mask is not None) > 1 / RELATIVE_TIME[1]


def _kept(session: Session) -> dict[str, int]:
    masks = {name: layer.module.kept() for name, layer in session.layers.items()}
    return {name: int(mask.sum()) for name, mask in masks.items() if mask is not None}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense run."""
    torch.set_num_threads(1)
    config = TrainConfig(sparsity=(0.0,), epochs=8, split=(1.0, 0.0, 0.0, 0.0))
    return train(config, tmp_path_factory.mktemp("dense"), quiet=True)


def test_the_ramp_lowers_the_bytes_and_nests_the_levels(trained: Path) -> None:
    session = _session(init_from=str(trained), sparsity=(0.9, 0.6, 0.4), flash_bytes=7001)
    budget = session.budget
    assert budget is not None
    sizes = []
    for step in range(1, 9):
        budget.prune(step / 8)
        sizes.append(budget.stored_bytes)
        for layer in session.layers.values():
            masks = [layer.module.mask(level) for level in range(3)]
            for inner, outer in itertools.pairwise(masks):
                assert inner is not None and outer is not None
                assert bool((inner <= outer).all())
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 7001 * (1 - HEADROOM) + 4


def test_trimming_makes_room_at_the_least_cost(trained: Path) -> None:
    session = _session(init_from=str(trained), sparsity=(0.8, 0.5), flash_bytes=9001)
    budget = session.budget
    assert budget is not None
    budget.prune(1.0)
    before = _kept(session)
    inner = {n: layer.module.mask(0) for n, layer in session.layers.items()}
    budget.config = replace(budget.config, flash_bytes=budget.stored_bytes - 40)
    budget.trim()
    assert budget.stored_bytes <= budget.config.flash_bytes
    lost = sum(before.values()) - sum(_kept(session).values())
    assert 0 < lost <= 80
    for name, layer in session.layers.items():
        assert torch.equal(layer.module.mask(0), inner[name])  # type: ignore[arg-type]
    budget.trim()
    assert lost == sum(before.values()) - sum(_kept(session).values())


@pytest.mark.parametrize("method", ["east", "magnitude"])
def test_an_impossible_budget_is_refused_before_training(method: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        train(replace(SHORT, flash_bytes=1024, method=method), tmp_path / "runs", quiet=True)
    text = str(caught.value)
    for part in ("1024 bytes", "tables 1602", "stem 320", "head 320", "3 pruned layers"):
        assert part in text
    assert not (tmp_path / "runs").exists()
    smallest = int(text.split("at least ")[1].split(":")[0])
    assert prepare(replace(SHORT, flash_bytes=smallest, method=method), quiet=True).budget
    with pytest.raises(UserError, match="no pruning"):
        prepare(replace(SHORT, flash_bytes=smallest - 1, method=method), quiet=True)


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("above_bytes", [0, 40, 160])
def test_budgets_near_the_least_are_met_or_refused(levels: int, above_bytes: int) -> None:
    wanted = {"sparsity": default_sparsity(levels), "group": "1x2", "codecs": "all"}
    with pytest.raises(UserError) as refused:
        _session(flash_bytes=1000, **wanted)
    smallest = int(str(refused.value).split("at least ")[1].split(":")[0])
    budget = _session(flash_bytes=smallest + above_bytes, **wanted).budget
    assert budget is not None
    for step in range(1, 5):
        budget.prune(step / 4)
    try:
        budget.trim()
    except UserError as error:
        assert "near the least" in str(error)
    else:
        assert budget.stored_bytes <= smallest + above_bytes


class _Odd(torch.nn.Sequential):
    """Channels that fill no group, a depthwise convolution and a prunable linear layer."""

    def __init__(self) -> None:
        super().__init__(
            torch.nn.Conv2d(1, 5, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(5, 5, 3, groups=5),
            torch.nn.Conv2d(5, 11, (3, 2), stride=2),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(66, 13),
            torch.nn.ReLU(),
            torch.nn.Linear(13, 10),
        )


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("flash_bytes", [1301, 1501, 1753])
def test_odd_and_linear_layers_meet_a_budget(levels: int, flash_bytes: int) -> None:
    config = replace(SHORT, sparsity=default_sparsity(levels), flash_bytes=flash_bytes)
    torch.manual_seed(0)
    session = prepare(config, quiet=True, module=_Odd())
    assert session.budget is not None
    session.budget.prune(1.0)
    assert 0.97 * flash_bytes <= session.budget.stored_bytes <= flash_bytes
    for level in range(levels):
        assert session.network(torch.zeros(2, 1, 8, 8), level).shape == (2, 10)


def test_a_resumed_run_is_not_refused_for_weights_it_does_not_have_yet() -> None:
    assert prepare(replace(SHORT, flash_bytes=1000), quiet=True, resumed=True).budget
    with pytest.raises(UserError, match="no pruning"):
        prepare(replace(SHORT, flash_bytes=1000), quiet=True)


def test_budget_checkpoints_of_another_version_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(replace(SHORT, epochs=4, split=(0.25, 0.5, 0.0, 0.25)), tmp_path, quiet=True)
    state = checkpoint.load_checkpoint(run / runs.CHECKPOINT)
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", 1)
    checkpoint.save_checkpoint(state, run / runs.CHECKPOINT)
    with pytest.raises(UserError, match="older nestnet"):
        resume(run, quiet=True)
    checkpoint.save_checkpoint(replace(state, budget=None), run / runs.CHECKPOINT)
    assert checkpoint.load_checkpoint(run / runs.CHECKPOINT).epoch == 4


def test_a_budget_the_dense_network_meets_prunes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = replace(SHORT, sparsity=(0.7,), flash_bytes=30000, name="one")
    run = train(single, tmp_path)
    assert "the dense network takes 24,172, so nothing is pruned" in capsys.readouterr().out
    graph = nestfile.load(run / runs.MODEL)
    assert graph.levels[0].sparsity == 0.0
    assert all(getattr(op, "group_level", None) is None for op in graph.ops)
    before = (run / runs.MODEL).read_bytes()
    resume(run, quiet=True)
    assert (run / runs.MODEL).read_bytes() == before
    family = train(replace(single, sparsity=default_sparsity(4), name="four"), tmp_path)
    assert "so the densest is not pruned" in capsys.readouterr().out
    shares = [level.sparsity for level in nestfile.load(family / runs.MODEL).levels]
    assert shares == pytest.approx([0.8, 0.6, 0.4, 0.0], abs=0.01)
    assert _metrics(family)[-1]["stored_bytes"] <= 30000


@pytest.mark.parametrize(("method", "call"), [("east", 19), ("magnitude", 16)])
def test_a_killed_ramp_resumes_to_the_same_bytes(
    method: str, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SHORT, method=method, flash_bytes=9001, name="run", codecs="lz4")
    whole = train(config, tmp_path / "whole", quiet=True)

    class Killed(BaseException):
        pass

    calls, original = 0, Classification.loss

    def killing(*args: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*args)  # type: ignore[no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "loss", killing)
        with pytest.raises(Killed):
            train(config, tmp_path / "cut", quiet=True)
    resume(tmp_path / "cut" / "run", quiet=True)
    for name in (runs.CHECKPOINT, runs.MODEL):
        assert (tmp_path / "cut" / "run" / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("text", "size"),
    [("48KiB", 49152), ("48kB", 48000), ("49152", 49152), ("1.5 KiB", 1536), ("1MiB", 2**20)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert options.setting("flash_bytes", text, "--flash") == size


@pytest.mark.parametrize("text", ["", "0", "-4KiB", "48 potatoes", "0.3", "KiB", "4e4", "1/2KiB"])
def test_no_sizes_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--flash: not a size"):
        options.setting("flash_bytes", text, "--flash")


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda: replace(SHORT, sparsity=(0.0,)), "--sparsity 0"),
        (lambda: replace(SHORT, method="est"), "Did you mean 'east'"),
        (lambda: replace(SHORT, codecs="lz5"), "Did you mean 'lz4'"),
        (lambda: TrainConfig(method="magnitude"), "there is none"),
        (lambda: TrainConfig(codecs="raw"), "there is none"),
        (lambda: TrainConfig(flash_total_bytes=1 << 17), "--flash-total and --board together"),
        (lambda: replace(SHORT, board="stm32f4"), "--flash-total or --tile beside it"),
        (lambda: TrainConfig(flash_bytes=-1), "a number of bytes"),
        (lambda: options.flash("4KiB", "5KiB", None), "one: weights and tables alone"),
        (
            lambda: train(TrainConfig(flash_total_bytes=1 << 17, board="stm32f4"), quiet=True),
            "has not been measured",
        ),
    ],
)
def test_flags_that_do_not_go_together(make: Callable[[], object], fragment: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert fragment in str(caught.value)


def test_budgets_survive_toml_and_older_files_have_none() -> None:
    config = replace(SHORT, flash_total_bytes=131072, board="stm32f4", codecs="lz4")
    text = configs.to_toml(config)
    assert configs.from_toml(text, "test") == config
    older = "".join(
        line
        for line in configs.to_toml(TrainConfig()).splitlines(keepends=True)
        if line.split(" =")[0] not in configs.ADDED
    )
    assert configs.from_toml(older, "test") == TrainConfig()
