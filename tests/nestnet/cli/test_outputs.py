"""No option that writes a file may destroy one that nestnet or the command itself reads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from nestnet.cli import outputs
from nestnet.cli.main import app
from tests.support.commands import ROOT, Here

RUN = "runs/net-digits-1"
PROJECT = "build/net-digits-1-host"
READ = r"overwrite another file; got a file that this command reads"


@pytest.fixture
def folder(workspace: Path, tmp_path: Path, here: Here) -> Path:
    """Return a folder with a run, its project and what commands read."""
    shutil.copytree(workspace / "runs", tmp_path / "runs")
    assert here("codegen", "--board", "host", "--cycles", "analytic").returncode == 0
    shutil.copy(tmp_path / RUN / "model.nestnet", tmp_path / "k.nestnet")
    shutil.copy(tmp_path / RUN / "model.nestnet", tmp_path / "k.bin")
    pixels = np.zeros((11, 13, 3), np.uint8)
    for name in ("mine.png", "data/cat/1.png", "data/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "net.py").write_text("def make(input_shape, classes):\n    return None\n")
    (tmp_path / "some.toml").write_text('data = "data"\n')
    (tmp_path / "report.json").write_text(json.dumps({"levels": []}))
    (tmp_path / "link.json").symlink_to("mine.png")
    return tmp_path


@pytest.mark.parametrize(("line", "message"), [
    ("info k.nestnet --json k.nestnet", r"got a network"),
    ("info report.json --json report.json", READ),
    ("info report.json --json data/../report.json", READ),
    ("predict mine.png --c-array mine.png", READ),
    ("predict mine.png --json link.json", READ),
    ("predict mine.png --run k.bin --json k.bin", READ),
    (f"predict mine.png --c-array {PROJECT}/library/model.h", r"got a file of the generated"),
    (f"predict mine.png --c-array {PROJECT}/library/firmware/nestnet.h", r"got a file of the gen"),
    (f"build --json {PROJECT}/nestnet-project.json", r"got a file of the generated project"),
    (f"models --json {RUN}/model.nestnet", r"got a network"),
    (f"boards --json {RUN}/checkpoint.safetensors", r"got a file of the run net-digits-1"),
    (f"datasets --json {RUN}/config.toml", r"got a file of the run net-digits-1"),
    (f"run --board host --json {RUN}/metrics.jsonl", r"got a file of the run net-digits-1"),
    ("codegen --board host --cycles report.json --json report.json", READ),
    ("bench --board host --csv a.csv --json a.csv", r"got another result of this command"),
    ("train --config some.toml --json some.toml", READ),
    ("train --config some.toml --json data/cat/1.png", READ),
    ("train --data data --json data/dog/1.png", READ),
    ("train --model net.py:make --json net.py", READ),
])  # fmt: skip
def test_a_file_that_is_read_is_not_overwritten(
    line: str, message: str, folder: Path, here: Here
) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    done = here(*line.split())
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_file_of_the_project_that_the_command_itself_writes(folder: Path, here: Here) -> None:
    """The path was free when the command began, and is the new project's when it ends."""
    line = "codegen --board host --cycles analytic --out new --json new/library/model.h"
    done = here(*line.split())
    assert done.returncode == 2 and "file of the generated project new" in done.stderr
    assert (folder / "new/library/model.h").read_text().startswith("/* model.h")


@pytest.mark.parametrize("line", [
    "info k.nestnet --json out.json",
    "info report.json --json data/new.json",
    f"info {RUN} --json {RUN}/info.json",
    f"info {PROJECT} --json {PROJECT}/info.json",
    "predict mine.png --c-array photo.h --json photo.json",
])  # fmt: skip
def test_an_earlier_result_is_replaced(line: str, folder: Path, here: Here) -> None:
    for _ in range(2):
        done = here(*line.split())
        assert done.returncode == 0, done.stderr


def test_every_command_has_the_check() -> None:
    group = typer.main.get_command(app)
    commands = group.commands.values()  # type: ignore[attr-defined]
    assert commands and all(isinstance(command, outputs.Command) for command in commands)


def test_deploying_loads_no_torch() -> None:
    """Networks are built and run where torch is not installed."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, nestnet.cli.main; print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert found.stdout == "False\n"
