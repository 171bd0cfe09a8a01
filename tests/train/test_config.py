"""The configuration survives TOML unchanged and refuses what it does not know."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from nestnet import config as configs
from nestnet.config import TrainConfig, chosen, default_sparsity, from_toml, load, to_toml

SPARSITIES = st.lists(st.floats(0, 0.999), min_size=1, max_size=8, unique=True).map(
    lambda values: tuple(sorted(values, reverse=True))
)


@settings(max_examples=100, deadline=None)
@given(
    sparsity=SPARSITIES,
    lr=st.floats(1e-30, 1e30),
    data=st.text(),
    dense=st.lists(st.text(), max_size=3).map(tuple),
    seed=st.integers(0, 2**63 - 1),
)
def test_toml_round_trip_is_exact(
    sparsity: tuple[float, ...], lr: float, data: str, dense: tuple[str, ...], seed: int
) -> None:
    if any("\ud800" <= c <= "\udfff" for text in (data, *dense) for c in text):
        return  # lone surrogates are not text
    config = TrainConfig(sparsity=sparsity, lr=lr, data=data, dense_layers=dense, seed=seed)
    assert from_toml(to_toml(config), "test") == config


def _without(key: str) -> str:
    lines = to_toml(TrainConfig()).splitlines()
    return "\n".join(line for line in lines if not line.startswith(f"{key} ="))


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (to_toml(TrainConfig()) + "epocs = 3\n", ["epocs", "Did you mean 'epochs'", "batch"]),
        (_without("lr"), ["missing key", "no lr"]),
        (
            to_toml(TrainConfig()).replace("epochs = 40", 'epochs = "40"'),
            ["epochs", "whole number"],
        ),
        (to_toml(TrainConfig()).replace("seed = 0", "seed = true"), ["seed", "a whole number"]),
        (to_toml(TrainConfig()).replace("lr = 0.1", "lr = nan"), ["lr", "a finite number"]),
        (to_toml(TrainConfig()).replace("[0.9,", '["x",'), ["sparsity", "a list, each entry"]),
        ("epochs = = 3", ["not a TOML file"]),
    ],
)
def test_wrong_files_are_user_errors(text: str, fragments: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        from_toml(text, "my.toml")
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"sparsity": (1.2, 0.5)}, ["0.9", "1.2, 0.5"]),
        ({"sparsity": (-0.1,)}, ["-0.1"]),
        ({"sparsity": (0.5, 0.9)}, ["not strictly nested", "0.9, 0.5"]),
        ({"sparsity": (0.5, 0.5)}, ["not strictly nested"]),
        ({"sparsity": ()}, ["wrong number of levels"]),
        ({"sparsity": tuple(0.9 - i / 20 for i in range(9))}, ["wrong number of levels"]),
        ({"routing": "sharde"}, ["Did you mean 'shared'", "shell"]),
        ({"group": "1x3"}, ["1x1 | 1x2 | 1x4"]),
        ({"split": (0.5, 0.5)}, ["four shares"]),
        ({"split": (1.0, 0.0, 0.0, 0.0)}, ["ramp"]),
        ({"epochs": 0}, ["epochs", "at least 1"]),
        ({"batch": 1}, ["batch"]),
        ({"lr": 0.0}, ["lr"]),
        ({"name": "../up"}, ["name"]),
        ({"resize": (32,)}, ["resize", "height and width"]),
        ({"seed": -1}, ["seed"]),
    ],
)
def test_wrong_values_are_user_errors(change: dict[str, object], fragments: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        replace(TrainConfig(), **change)  # type: ignore[arg-type]
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_whole_numbers_become_floats_as_in_a_file() -> None:
    config = TrainConfig(sparsity=(0,), split=(0, 0, 1, 0), lr=1)
    again = from_toml(to_toml(config), "config.toml")
    assert to_toml(again) == to_toml(config)
    assert config.is_dense and config.split == (0.0, 0.0, 1.0, 0.0)
    assert isinstance(config.lr, float) and isinstance(config.split[0], float)


@pytest.mark.parametrize("levels", range(1, configs.MAX_LEVELS + 1))
def test_default_sparsities_are_valid(levels: int) -> None:
    assert TrainConfig(sparsity=default_sparsity(levels)).levels == levels


@pytest.mark.parametrize("levels", [0, 9, -1])
def test_unknown_level_count_is_a_user_error(levels: int) -> None:
    with pytest.raises(UserError, match=r"1\.\.8"):
        default_sparsity(levels)


@given(epochs=st.integers(1, 300), split=st.sampled_from([(0.4, 0.2, 0.2, 0.2), (0, 1, 0, 0)]))
def test_phases_cover_all_epochs_once(epochs: int, split: tuple[float, ...]) -> None:
    phases = TrainConfig(epochs=epochs, split=tuple(float(s) for s in split)).phases()
    assert phases[0].first == 0
    assert phases[-1].last == epochs
    assert all(a.last == b.first for a, b in itertools.pairwise(phases))
    assert all(phase.epochs > 0 for phase in phases)


def test_absent_or_binary_file_is_a_user_error(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.toml", binary):
        with pytest.raises(UserError, match="cannot read"):
            load(path)


def test_some_settings_are_enough_and_flags_go_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("epochs = 3\nlr = 1\n")
    assert chosen({"lr": 0.25}, path) == TrainConfig(epochs=3, lr=0.25)
    assert chosen({}, path) == TrainConfig(epochs=3, lr=1.0)
    assert chosen({}) == TrainConfig()
    path.write_text("epocs = 3\n")
    with pytest.raises(UserError, match=r"some\.toml: unknown key.*Did you mean 'epochs'"):
        chosen({}, path)
    path.write_text("epochs = true\n")
    with pytest.raises(UserError, match=r"epochs"):
        chosen({}, path)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
def test_a_file_may_start_with_the_mark_of_a_windows_editor(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(mark + to_toml(TrainConfig(epochs=3)), encoding="utf-8")
    assert load(path) == chosen({}, path) == TrainConfig(epochs=3)


def test_data_alone_means_class_folders(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text('data = "photos"\n')
    assert chosen({"data": "photos"}).dataset == "folder"
    assert chosen({}, path).dataset == "folder"
    assert chosen({"dataset": "cifar10"}, path).dataset == "cifar10"
    assert chosen({"data": "photos", "dataset": "digits"}).dataset == "digits"
    assert chosen({"data": ""}).dataset == "digits"
