"""Run folders: ``runs/NAME/`` with config.toml, metrics.jsonl, checkpoint and model.nestnet."""

from __future__ import annotations

import re
from pathlib import Path

from codegen.errors import UserError
from nestnet.config import TrainConfig, to_toml, unknown_name

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.nestnet"
DEFAULT_ROOT = Path("runs")
DATA_CHARACTERS = 16
"""Longest part of a default name that comes from the data's own."""


def create(config: TrainConfig, root: Path) -> Path:
    """Create the folder of a new run and write its config.toml.

    A run without a name is called MODEL-DATASET-N with the next free N, or MODEL-DATASET-DATA-N
    where the data's place is given. Generated C calls the network as its run is called.

    Raises:
        UserError: the named run exists already, or the folder cannot be made.
    """
    blocked = [place for place in (root, *root.parents) if place.exists() and not place.is_dir()]
    if blocked:
        raise UserError(
            str(root),
            "--out is a file" if blocked[0] == root else "--out lies below a file",
            got=f"the file {blocked[0]}",
            expected="a folder, or a path where one can be made",
            action="Choose another --out",
        )
    folder = root / (config.name or _free_name(config, root))
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        (folder / CONFIG).write_text(to_toml(config), encoding="utf-8")
    except FileExistsError as error:
        raise UserError(
            str(folder),
            "the run exists already",
            got=config.name or folder.name,
            expected="a name not in use",
            action="Choose another --name, or continue it with --resume",
        ) from error
    except OSError as error:
        raise UserError(
            str(folder),
            "cannot create the run folder",
            got=error.strerror or error,
            expected="a folder that can be written",
            action="Choose another --out",
        ) from error
    return folder


def _free_name(config: TrainConfig, root: Path) -> str:
    model = "net" if config.model == "auto" else Path(config.model.partition(":")[0]).stem
    parts = [model, config.dataset]
    if config.data:
        parts.append(Path(config.data).resolve().name.partition(".")[0][:DATA_CHARACTERS])
    base = re.sub(r"[^A-Za-z0-9_.-]", "-", "-".join(filter(None, parts)))
    number = 1
    while (root / f"{base}-{number}").exists():
        number += 1
    return f"{base}-{number}"


def listing(root: Path) -> list[Path]:
    """Return the run folders below ``root``, the newest last."""
    found = [path.parent for path in root.glob(f"*/{CONFIG}")]
    return sorted(found, key=lambda run: ((run / CONFIG).stat().st_mtime_ns, run.name))


def newest(root: Path = DEFAULT_ROOT, *, finished: bool = True) -> Path:
    """Return the newest run; with ``finished`` the newest that has a model.nestnet.

    Raises:
        UserError: there is none.
    """
    runs = [run for run in listing(root) if not finished or (run / MODEL).is_file()]
    if not runs:
        raise UserError(
            f"{root}/",
            "no finished run" if finished else "no run",
            got="none",
            expected=f"at least one folder with {MODEL if finished else CONFIG}",
            action="Run: nestnet train --levels 4",
        )
    return runs[-1]


def find(name: str, root: Path = DEFAULT_ROOT, option: str = "--run") -> Path:
    """Return the run folder given by path or by name below ``root``.

    Raises:
        UserError: there is none; ``option`` is what named it.
    """
    for folder in (Path(name), root / name):
        if (folder / CONFIG).is_file():
            return folder
    known = [run.name for run in listing(root)]
    if known:
        raise unknown_name(option, "no such run", name, known)
    raise UserError(
        option,
        "no such run",
        got=repr(name),
        expected=f"a folder with {CONFIG}, or a name below {root}/",
        action="Run: nestnet train --levels 4",
    )


def weights(name: str, root: Path = DEFAULT_ROOT) -> Path:
    """Return the checkpoint of a run, given by path or by name below ``root``, or the file itself.

    Raises:
        UserError: no such run, or one without a finished epoch.
    """
    if Path(name).is_file():
        return Path(name)
    folder = find(name, root, "--init-from")
    if not (folder / CHECKPOINT).is_file():
        raise UserError(
            str(folder),
            "the run has no weights yet",
            got=f"no {CHECKPOINT}",
            expected="a run that finished an epoch",
            action=f"Continue it: nestnet train --resume {folder}",
        )
    return folder / CHECKPOINT


def model_file(name: str | None) -> Path:
    """Return the .nestnet file of a run, given by path or name, or the file itself.

    Without a ``name`` it is that of the newest finished run.

    Raises:
        UserError: no such run, or one that is not finished.
    """
    if name is None:
        return newest() / MODEL
    if name.endswith(".nestnet") or Path(name).is_file():
        return Path(name)
    folder = find(name)
    if not (folder / MODEL).is_file():
        raise UserError(
            str(folder),
            "the run is not finished",
            got=f"no {MODEL}",
            expected="a run trained to its end",
            action=f"Continue it: nestnet train --resume {folder}",
        )
    return folder / MODEL
