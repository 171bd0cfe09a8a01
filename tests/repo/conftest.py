"""What the repository's own tests share: its root, a way to run the command, a trained network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nestnet.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def nestnet(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the nestnet command in ``folder`` without a terminal or standard input."""
    return subprocess.run(
        [sys.executable, "-m", "nestnet.cli", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Here = Callable[..., Done]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """Return a function that runs the command in this process, in the test's own folder.

    A process of its own for each of a hundred command lines would spend minutes importing torch.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return Done(int(exit_info.value.code or 0), shown.out, shown.err)

    return run


def environment() -> dict[str, str]:
    """Return the environment in which this checkout is what ``import nestnet`` finds."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a small network has been trained for one epoch."""
    folder = tmp_path_factory.mktemp("workspace")
    result = nestnet("train", "--epochs", "2", "--levels", "2", "--batch", "256", folder=folder)
    assert result.returncode == 0, result.stderr
    return folder
