"""The root of the repository, and the nestnet command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def environment() -> dict[str, str]:
    """Return the environment in which this checkout is what ``import nestnet`` finds."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
