"""Settings of all tests, the nestnet command in this process, and a trained network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.commands import Done, Here, nestnet

# Before anything imports torch or numpy: the test runner already uses every core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """Return a function that runs the command in this process, in the test's own folder.

    A process of its own for each of a hundred command lines would spend minutes importing torch.
    """
    from nestnet.cli.main import main  # imports torch, which most of tests/codegen never needs

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return Done(int(exit_info.value.code or 0), shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a small network has been trained for one epoch."""
    folder = tmp_path_factory.mktemp("workspace")
    result = nestnet("train", "--epochs", "2", "--levels", "2", "--batch", "256", folder=folder)
    assert result.returncode == 0, result.stderr
    return folder
