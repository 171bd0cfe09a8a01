"""Training configuration: one frozen dataclass, written to and read from TOML exactly.

A :class:`TrainConfig` checks itself when it is built, so every function that receives one can rely
on it. Anything a user can get wrong raises :class:`codegen.errors.UserError`.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from codegen.errors import UserError
from nestnet import pixels, shorthand
from nestnet.config_checks import (
    bad,
    check_board,
    check_flash,
    check_ranges,
    check_sides,
    check_sparsity,
    check_split,
    is_instance,
    type_text,
)
from nestnet.toml_text import toml_value

GROUPS = {"1x1": 1, "1x2": 2, "1x4": 4}
"""Group shape (output channels x consecutive input channels) to the number of weights in it."""
FASTEST_GROUP_SIZE = 4

ALLOCATIONS = ("global", "latency", "uniform")
METHODS = ("east", "magnitude")
CODECS = ("all", "lz4", "raw")
ROUTINGS = ("shared", "shell", "mixed")
OPTIMIZERS = ("sgd", "adamw")
AUGMENTS = ("auto", "none", "crop", "flip-crop", "flips", "jitter", "sound")
DEVICES = ("auto", "cpu", "cuda")
AMP_MODES = ("auto", "off", "bf16")
AUTO = "auto"
"""Of the keys that data decides where nothing else does."""
HEARD = "wav"
"""The data set of sound."""
OF_DATA = "folder"
"""The data set that a place of data means where no data set is named."""
ADDED = (
    "flash_bytes", "flash_total_bytes", "board", "method", "codecs", "test_share", "mean", "std",
    "reach", "task", "optimizer", "warmup", "lr_end", "clip", "ema",
    "reparameterize", "tile", "margin",
)  # fmt: skip
"""Keys that files of earlier versions lack; their defaults say what was done."""

_SAME = {"gpu": "cuda", "bfloat16": "bf16"}
"""Other words for a choice, which look nothing like it."""

MERGES = {"auto": None, "on": True, "off": False}
_CHOICES: dict[str, tuple[str, ...]] = {
    "group": ("auto", *GROUPS),
    "allocation": ALLOCATIONS,
    "routing": ROUTINGS,
    "optimizer": OPTIMIZERS,
    "augment": AUGMENTS,
    "device": DEVICES,
    "amp": AMP_MODES,
    "reparameterize": tuple(MERGES),
    "method": METHODS,
    "codecs": CODECS,
}
"""Fields that are one of several words."""

LEVELS = "levels"
"""Short for the default sparsities of so many levels; no field of its own."""
NO_SETTINGS = {
    "out": "Give it beside the settings: --out FOLDER, or nestnet.train(out=...)",
    "resume": "A resumed run has its settings. Run: nestnet train --resume RUN",
    "config": "One file holds all settings; give it with --config FILE",
    "json": "Give it beside the settings: --json PATH",
    "flash": "Did you mean 'flash_bytes'?",
    "flash_total": "Did you mean 'flash_total_bytes'?",
}
"""What the command line calls otherwise, or no configuration holds, and what to do about it."""


def unknown_name(where: str, what: str, got: str, valid: Iterable[str]) -> UserError:
    """Return the error for a misspelt name: it lists the valid ones and the nearest match."""
    names = sorted(valid)
    near = [same] if (same := _SAME.get(got)) in names else difflib.get_close_matches(got, names, 1)
    action = f"Did you mean {near[0]!r}?" if near else "Use one of the listed names"
    return UserError(where, what, got=repr(got), expected=" | ".join(names), action=action)


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs with one purpose; ``last`` is exclusive."""

    name: str
    first: int
    last: int

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return self.last - self.first


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run computes."""

    name: str = ""
    """Name of the run folder; empty picks MODEL-DATASET with the next free number."""
    model: str = "auto"
    """A shipped model, ``path/to/file.py:factory``, or ``auto``: the data set's default."""
    task: str = AUTO
    """What the network is trained for: a file of nestnet/tasks/, or ``auto``: what the data set is
    for."""
    dataset: str = "digits"
    """One of `nestnet datasets`; ``folder`` for images of your own."""
    data: str = ""
    """Directory or archive of the data set; empty for data sets that need none."""
    resize: tuple[int, ...] = ()
    """Height and width to resize images to; empty keeps their size."""
    tile: tuple[int, ...] = ()
    """Height and width of the tiles that a segmentation's images are cut into; ``auto`` (0, 0): the
    largest for which ``board`` has RAM. Empty: as masks.toml says, or whole images."""
    margin: int = -1
    """Pixels by which a tile's answer ends before borders inside the image, where its neighbours
    answer; -1: as masks.toml says, or 0."""
    test_share: float = 0.0
    """Share of the images drawn as test images from class folders without train/ and test/; 0 is
    0.2."""
    sparsity: tuple[float, ...] = (0.9, 0.8, 0.7, 0.5)
    """Sparsity of each level over the prunable weights, strictly decreasing, 0..1. A single
    0.0 trains an ordinary dense network; a single other value one stand-alone sparse network."""
    group: str = "auto"
    """Weights kept or pruned together, the execution group; ``auto``: with a flash budget and
    method east what each layer stores best, else 1x4."""
    allocation: str = "uniform"
    """How a level's sparsity is shared out over the layers: all alike, by magnitude over the whole
    network, or by magnitude per multiply-accumulate (experiments/allocation/page.md)."""
    routing: str = "shared"
    """Which weights of a level its loss moves: all alike (shared), those it adds (shell), or all,
    half as strongly for each level further in (mixed)."""
    dense_layers: tuple[str, ...] = ()
    """Layers kept dense at every level, besides the first convolution and the last linear."""
    epochs: int = 40
    """All phases together."""
    split: tuple[float, ...] = (0.35, 0.25, 0.25, 0.15)
    """Shares of the epochs: dense warm-up, pruning ramp, recovery, quantization-aware."""
    batch: int = 128
    """Images of one training step."""
    lr: float = 0.1
    """Peak of the one-cycle schedule."""
    lr_quantized: float = 0.004
    """Peak of the quantization-aware phase."""
    optimizer: str = "sgd"
    """Stochastic gradient descent with Nesterov momentum (sgd), or AdamW (adamw)."""
    momentum: float = 0.9
    """Of stochastic gradient descent, 0..1."""
    weight_decay: float = 5e-4
    """Of convolution and linear weights."""
    warmup: float = 0.2
    """Share of the schedule in which the learning rate rises, 0..1 exclusive."""
    lr_end: float = 0.002
    """Where the schedule ends, as a share of its peak, 0..1."""
    clip: float = 0.0
    """Largest norm of a step's gradient, to which a larger one is scaled; 0: none."""
    ema: float = 0.0
    """What a step leaves of the moving average of the weights, which is measured and kept in their
    place, 0..1 exclusive: 0.998 averages some 500 steps. 0: no average. Float phases only."""
    distill_weight: float = 0.5
    """Share of a sparser level's loss that follows the densest level's outputs, 0..1."""
    distill_temperature: float = 2.0
    """What logits are divided by before a sparser level follows the densest."""
    augment: str = "auto"
    """Training images are shifted (crop), also mirrored (flip-crop); mirrored and turned in other
    light (flips); samples get another gain and noise (jitter), recordings another speed, place and
    noise (sound); or as suits the data."""
    seed: int = 0
    """Of weights, order of images and augmentation; the same seed gives the same run on a CPU."""
    device: str = "auto"
    """``auto``: a GPU if there is one."""
    amp: str = "auto"
    """Mixed precision of the float phases: bf16 where the device is fast at it, or off."""
    init_from: str = ""
    """Run, by folder or name, or checkpoint whose weights the training starts from; empty starts
    fresh. A run records the checkpoint."""
    flash_bytes: int = 0
    """What all weights and tables may take in flash; 0: the sparsities decide. With a budget they
    only say how dense each level is beside the densest."""
    flash_total_bytes: int = 0
    """What the whole firmware for ``board`` may take; flash_bytes is what it leaves for weights."""
    board: str = ""
    """Board of flash_total_bytes, and whose RAM a tile has to fit."""
    method: str = "east"
    """How a budget is met: encoding-aware, or by weight magnitude."""
    codecs: str = "all"
    """How weights may lie in flash, as for nestnet codegen."""
    reparameterize: str = "auto"
    """Whether parallel convolutions become one (on, off); auto: off, with a notice."""
    mean: tuple[float, ...] = ()
    """With std: the network sees (pixel / 255 - mean) / std, one number or one per channel. Empty:
    it sees (pixel - 128) / 64."""
    std: tuple[float, ...] = ()
    """With mean: of pixel / 255, one number or one per channel. Of samples both are in raw numbers,
    and measured where they are not given."""
    reach: float = 0.0
    """Of samples: the largest |raw - mean| / std that int8 holds; 0: measured."""

    def __post_init__(self) -> None:
        """Read short forms and check every field; UserError for the first wrong one."""
        hints = typing.get_type_hints(TrainConfig)
        for field in fields(self):  # as a file would give them back, so that to_toml is stable
            value = _plain(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
        _check_types(self)
        for key, valid in _CHOICES.items():
            _check_choice(key, getattr(self, key), valid)
        check_sparsity(self.sparsity)
        check_sides("resize", self.resize, 1)
        check_sides("tile", self.tile, 0)
        check_board(self.board, self.flash_total_bytes, self.tile)
        check_flash(
            self.flash_bytes, self.flash_total_bytes, self.is_dense,
            {"method": (self.method, "east"), "codecs": (self.codecs, "all")},
        )  # fmt: skip
        check_split(self.split, self.epochs)
        if self.split[0] >= 1 and not self.is_dense:
            raise bad("split", self.split, "a share left for the ramp after the warm-up")
        if self.name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.name):
            raise bad("name", self.name, "letters, digits, '-', '_' and '.'")
        pixels.check(self.mean, self.std)
        check_ranges(vars(self))

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.sparsity)

    @property
    def group_size(self) -> int:
        """Weights in a full group where all layers have the same: 1, 2 or 4."""
        return GROUPS.get(self.group, FASTEST_GROUP_SIZE)

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """Weights that a layer's full groups may have.

        Each size a firmware uses takes kernels of its own, so a budget for a whole firmware
        admits one.
        """
        chosen = self.group == "auto" and self.method == "east" and self.flash_bytes
        if not chosen or self.flash_total_bytes:
            return (self.group_size,)
        return tuple(GROUPS.values())

    @property
    def is_dense(self) -> bool:
        """Whether this trains an ordinary dense network."""
        return self.sparsity == (0.0,)

    def phases(self) -> tuple[Phase, ...]:
        """Return the run's phases in order; phases without an epoch are left out."""
        ends = [round(self.epochs * sum(self.split[: i + 1])) for i in range(4)]
        ends[3] = self.epochs
        names = ("warm-up", "ramp", "recovery", "quantize")
        starts = [0, *ends[:3]]
        spans = zip(names, starts, ends, strict=True)
        return tuple(Phase(name, first, last) for name, first, last in spans if last > first)


def _check_choice(key: str, value: str, valid: Iterable[str]) -> None:
    if value not in valid:
        raise unknown_name(f"config key {key!r}", "no such choice", value, valid)


def _check_types(config: TrainConfig) -> None:
    hints = typing.get_type_hints(TrainConfig)
    for field in fields(config):
        value = getattr(config, field.name)
        if not is_instance(value, hints[field.name]):
            choices = " | ".join(f'"{name}"' for name in _CHOICES.get(field.name, ()))
            raise bad(field.name, repr(value), choices or type_text(hints[field.name]))


def to_toml(config: TrainConfig) -> str:
    """Return ``config`` as TOML text; :func:`from_toml` gives back an equal configuration."""
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in asdict(config).items())


def from_toml(text: str, where: str) -> TrainConfig:
    """Return the configuration written in ``text``.

    Args:
        text: TOML with every key of :class:`TrainConfig` but those ADDED, and no other.
        where: file name for messages.

    Raises:
        UserError: not TOML; an unknown, missing or ill-typed key.
    """
    return from_mapping(_table(text, where), where)


def _table(text: str, where: str) -> dict[str, Any]:
    """Return TOML's keys and values; UserError where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            where, "not a TOML file", got=error, expected="key = value lines", action="Correct it"
        ) from error


def from_mapping(table: Mapping[str, object], where: str) -> TrainConfig:
    """Return the configuration with the keys and values of ``table``; all keys must be there."""
    given = settings(table, where)
    names = [field.name for field in fields(TrainConfig)]
    missing = [name for name in names if name not in given and name not in ADDED]
    if missing:
        raise UserError(
            where,
            "missing key",
            got=f"no {', '.join(missing)}",
            expected=", ".join(names),
            action="Add the key; a run's config.toml shows a complete file",
        )
    return TrainConfig(**given)


def settings(table: Mapping[str, object], where: str, what: str = "unknown key") -> dict[str, Any]:
    """Return the fields of :class:`TrainConfig` that ``table`` sets.

    Args:
        table: names and values; ``levels`` is short for the default sparsities of so many.
        where: what holds the table, for messages.
        what: what to call a name that is none.

    Raises:
        UserError: an unknown name, or another number of levels than of sparsities.
    """
    names = [field.name for field in fields(TrainConfig)]
    for key, value in table.items():
        if key not in (*names, LEVELS):
            raise _no_setting(key, value, where, what, names)
    found = dict(table)
    if LEVELS in found:
        hints = typing.get_type_hints(TrainConfig)
        given = _plain("sparsity", found.get("sparsity"), hints["sparsity"])
        levels = found.pop(LEVELS)
        found["sparsity"] = shorthand.sparsity_of(levels, given, f"config key {LEVELS!r}")
    return found


def _no_setting(key: str, value: object, where: str, what: str, names: list[str]) -> UserError:
    """Return the error for a name that is no setting: the nearest one, or where it belongs."""
    if isinstance(value, Mapping):
        return UserError(
            where,
            "settings in a table",
            got=f"[{key}]",
            expected="key = value lines without a heading",
            action=f"Remove the heading [{key}] and keep its lines",
        )
    if key in NO_SETTINGS:
        expected = " | ".join(sorted((*names, LEVELS)))
        return UserError(where, what, got=repr(key), expected=expected, action=NO_SETTINGS[key])
    return unknown_name(where, what, key, (*names, LEVELS))


def _plain(key: str, value: Any, hint: Any) -> Any:
    """Return the value of the field ``key`` as it is kept, of any form that may be written.

    One value stands for a list of it, one number of ``resize`` or ``tile`` for height and width, a
    text for what the command line reads it as, a path for its text, an array for its numbers; whole
    numbers become floats where floats belong. What is none of these is returned as it is.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str) and key in shorthand.TEXTS:
        value = shorthand.TEXTS[key](value, f"config key {key!r}")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if is_instance(value, item):
            value = (value, value) if key in ("resize", "tile") else (value,)
        if isinstance(value, list | tuple):
            return tuple(_plain("", v, item) for v in value)
    if hint is float and is_instance(value, float):
        return float(value)
    return value


def load(path: Path) -> TrainConfig:
    """Read a run's configuration file; UserError if it is absent, incomplete or wrong."""
    return from_toml(_read(path), str(path))


def chosen(
    given: Mapping[str, object],
    path: Path | None = None,
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda given: {},
) -> TrainConfig:
    """Return the configuration that some settings make, the others being defaults.

    Args:
        given: names of fields and their values; they go before those of the file.
        path: TOML file with any of the keys.
        defaults: what goes before the defaults of :class:`TrainConfig`, by what is given.

    ``data`` without a ``dataset`` means class folders. See :func:`settings` for ``levels``.

    Raises:
        UserError: an absent or wrong file, an unknown key, a wrong value.
    """
    table = {} if path is None else settings(_table(_read(path), str(path)), str(path))
    merged = {**table, **settings(given, "the settings")}
    if merged.get("data"):
        merged.setdefault("dataset", OF_DATA)
    return TrainConfig(**{**defaults(merged), **merged})


def _read(path: Path) -> str:
    """Return a file's text, without the mark that Windows editors put before it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            str(path),
            "cannot read the configuration",
            got=error,
            expected="a TOML file in UTF-8, as written into a run folder",
            action="Give the path of a config.toml",
        ) from error
