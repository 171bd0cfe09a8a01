"""What an installed nestnet must do, on any Python and with any versions that pip may choose."""

from __future__ import annotations

import json

from tests.install.environments import HERE, Environment, unpack_run

RANDOM_IMAGES = """
import sys
from pathlib import Path
import numpy as np
from codegen import flow
from codegen.graph import file as nestfile

path, out = map(Path, sys.argv[1:])
graph = nestfile.load(path)
shape = graph.only_input.shape
images = np.random.default_rng(7).integers(-128, 128, (5, *shape), dtype=np.int8)
report = flow.run(path, "host", images, out=out)
assert report.bit_exact, report.differences
print(len(report.levels), "levels bit-exact")
"""

PYOCD = """
from pyocd.core.exceptions import Error
from pyocd.core.helpers import ConnectHelper
from pyocd.debug.semihost import InternalSemihostIOHandler, SemihostAgent
from pyocd.flash.file_programmer import FileProgrammer

assert callable(ConnectHelper.session_with_chosen_probe)
"""
"""What the runner of boards imports, without looking for a probe."""


def deploy(environment: Environment) -> None:
    """Load the committed network, write its C project, make it, run every level on this computer.

    Raises:
        AssertionError: a step failed, or bits differ.
    """
    place = environment.folder.parent
    run = unpack_run(place / "committed")
    model = run / "model.nestnet"
    facts = place / "info.json"
    environment.run("nestnet", "info", model, "--json", facts)
    assert len(json.loads(facts.read_text(encoding="utf-8"))["levels"]) == 2
    project = place / "project"
    environment.run("nestnet", "codegen", "--board", "host", "--run", model, "--out", project)
    environment.run("nestnet", "build", "--out", project)
    shown = environment.run("python", "-c", RANDOM_IMAGES, model, project)
    assert "2 levels bit-exact" in shown
    environment.run("nestnet", "boards")
    assert "--board" in environment.run("nestnet", "run", "--help")


def deploy_digits(environment: Environment) -> None:
    """Run the committed network on images of the data set that it was trained on.

    Raises:
        AssertionError: a step failed, bits differ, or the network no longer recognizes digits.
    """
    place = environment.folder.parent
    report = place / "report.json"
    environment.run(
        "nestnet", "run", "--board", "host", "--run", place / "committed/model.nestnet",
        "--images", "360", "--out", place / "digits", "--json", report,
    )  # fmt: skip
    levels = json.loads(report.read_text(encoding="utf-8"))["levels"]
    assert len(levels) == 2
    for level in levels:
        assert level["bit_exact"] and level["accuracy_device"] > 0.9, level
    environment.run("nestnet", "datasets")


def train(environment: Environment) -> None:
    """Train, quantize and export the committed network's module anew, and run what comes of it.

    Raises:
        AssertionError: a step failed, bits differ, or the network has learned nothing.
    """
    place = environment.folder.parent
    report = place / "trained.json"
    environment.run(
        "nestnet", "train", "--model", f"{HERE / 'tiny.py'}:tiny", "--levels", "2",
        "--epochs", "8", "--name", "trained", "--out", place / "runs",
    )  # fmt: skip
    environment.run(
        "nestnet", "run", "--board", "host", "--run", place / "runs/trained/model.nestnet",
        "--images", "100", "--out", place / "trained-host", "--json", report,
    )  # fmt: skip
    for level in json.loads(report.read_text(encoding="utf-8"))["levels"]:
        assert level["bit_exact"] and level["accuracy_device"] > 0.8, level


def pyocd_answers(environment: Environment) -> None:
    """Import what the runner of boards uses of pyOCD; no probe is needed.

    Raises:
        AssertionError: it cannot be imported.
    """
    environment.run("python", "-c", PYOCD)


def checks(environment: Environment) -> tuple[str, ...]:
    """Check all that the environment's packages allow; return what was checked."""
    done = ["load, codegen, make, run"]
    deploy(environment)
    if "scikit-learn" in environment.versions:
        deploy_digits(environment)
        done.append("digits")
    if "pyocd" in environment.versions:
        pyocd_answers(environment)
        done.append("pyOCD")
    if "torch" in environment.versions:
        train(environment)
        done.append("train, quantize, export")
    return tuple(done)
