"""The configuration survives TOML unchanged and refuses what it does not know."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from nestnet import config as configs
from nestnet.config import TrainConfig, chosen, from_toml, load, to_toml
from nestnet.config_checks import MAX_LEVELS
from nestnet.shorthand import default_sparsity
from tests.support.commands import ROOT

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
        ({"group": (1, 4)}, ["got (1, 4)", '"auto" | "1x1" | "1x2" | "1x4"']),
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


@pytest.mark.parametrize("levels", range(1, MAX_LEVELS + 1))
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


SHORT_FORMS: list[tuple[str, object, object]] = [
    ("mean", 0, (0.0,)),
    ("mean", [0.25, 1, 0.5], (0.25, 1.0, 0.5)),
    ("mean", "0.25,1", (0.25, 1.0)),
    ("std", 1, (1.0,)),
    ("std", "0.5", (0.5,)),
    ("resize", 48, (48, 48)),
    ("resize", "48", (48, 48)),
    ("resize", "31x37", (31, 37)),
    ("resize", [31, 37], (31, 37)),
    ("sparsity", 0.7, (0.7,)),
    ("sparsity", 0, (0.0,)),
    ("sparsity", "0.9,0.5", (0.9, 0.5)),
    ("dense_layers", "body.3", ("body.3",)),
    ("dense_layers", ["a", "b"], ("a", "b")),
    ("flash_bytes", "48KiB", 49152),
    ("flash_bytes", 49152, 49152),
    ("flash_total_bytes", "1.5kB", 1500),
]
"""Setting, a value as somebody writes it, the value that is kept."""


@pytest.mark.parametrize(("key", "value", "kept"), SHORT_FORMS, ids=lambda v: str(v))
def test_short_forms_are_read_alike_everywhere(
    key: str, value: object, kept: object, tmp_path: Path
) -> None:
    others = {"mean": "std = 1\n", "std": "mean = 0\n", "flash_total_bytes": 'board = "stm32f4"\n'}
    path = tmp_path / "some.toml"
    path.write_text(f"{others.get(key, '')}{key} = {json.dumps(value)}\n")
    from_file = chosen({}, path)
    path.write_text(others.get(key, ""))
    for config in (from_file, chosen({key: value}, path)):
        assert getattr(config, key) == kept
        assert type(getattr(config, key)) is type(kept)
        assert from_toml(to_toml(config), "again") == config


def test_arrays_and_paths_are_values_too(tmp_path: Path) -> None:
    mean = np.array([0.25, 0.5, 0.75], np.float32)
    config = chosen({"mean": mean, "std": np.float32(0.5), "data": tmp_path, "epochs": np.int64(3)})
    assert (config.mean, config.std, config.epochs) == ((0.25, 0.5, 0.75), (0.5,), 3)
    assert config.data == str(tmp_path) and config.dataset == "folder"


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"resize": True}, ["resize", "whole number"]),
        ({"resize": "large"}, ["config key 'resize': not a size; got 'large'"]),
        ({"mean": "grey"}, ["config key 'mean': not a list of numbers", "'grey'"]),
        ({"mean": {"r": 1}}, ["mean", "a list"]),
        ({"flash_bytes": "lots"}, ["config key 'flash_bytes': not a size"]),
        ({"split": 0.5}, ["four shares"]),
        ({"lr": 10**400}, ["lr", "a finite number"]),
        ({"levels": 3, "sparsity": [0.9, 0.5]}, ["'levels': differs", "got 3, expected 2"]),
        ({"levels": 0}, ["'levels': no such number of levels; got 0, expected 1..8"]),
        ({"levels": True}, ["no such number of levels"]),
        ({"levels": "3"}, ["no such number of levels"]),
        ({"out": "runs"}, ["no such setting; got 'out'", "--out FOLDER"]),
        ({"flash": "48KiB"}, ["no such setting", "Did you mean 'flash_bytes'"]),
        ({"train": {"epochs": 3}}, ["settings in a table; got [train]", "Remove the heading"]),
        ({"level": 3}, ["Did you mean 'levels'"]),
        ({"device": "gpu"}, ["Did you mean 'cuda'"]),
        ({"amp": "bfloat16"}, ["Did you mean 'bf16'"]),
    ],
)
def test_what_is_no_short_form_is_a_user_error(
    change: dict[str, Any], fragments: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        TrainConfig(**configs.settings(change, "here", "no such setting"))
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_levels_are_the_default_sparsities_of_so_many(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("levels = 3\n")
    assert chosen({}, path).sparsity == default_sparsity(3)
    assert chosen({"levels": 2}, path).sparsity == default_sparsity(2)
    assert chosen({"sparsity": 0.5}, path).sparsity == (0.5,)
    path.write_text("levels = 2\nsparsity = [0.8, 0.4]\n")
    assert chosen({}, path).sparsity == (0.8, 0.4)


def test_a_file_of_an_earlier_version_is_read() -> None:
    """Keys that came later have defaults; what stands there is never edited."""
    path = ROOT / "tests/install/config.toml"
    config = from_toml(path.read_text(encoding="utf-8"), str(path))
    assert (config.name, config.optimizer, config.reparameterize) == ("run", "sgd", "auto")
