"""What `make setup` asks of package indexes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLING = ("Makefile", "pyproject.toml", ".ci/run", ".ci/system-packages", ".ci/constraints.txt")


def test_no_package_index_is_written_down() -> None:
    """Which index serves packages is the business of the machine's pip, not of this repository."""
    for name in INSTALLING:
        found = re.search(r"\w+://\S+", (ROOT / name).read_text(encoding="utf-8"))
        assert not found, f"{name}: {found and found.group()}"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ((), "--no-deps"),
        (("TORCH_INDEX=file:///wheels",), "--no-deps --index-url=file:///wheels"),
    ],
)
def test_torch_index_is_passed_to_pip(
    tmp_path: Path, variables: tuple[str, ...], expected: str
) -> None:
    """Dry run: nothing is installed."""
    command = ["make", "-n", "setup", f"VENV={tmp_path}/venv", *variables]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in text.splitlines() if "pip install" in line and "--no-deps" in line]
    assert line.strip().removesuffix("\\").strip().endswith(expected)
