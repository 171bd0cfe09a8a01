"""The documentation as a site: generated pages are current, every link of every page resolves."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

from tests.support.commands import ROOT, environment

GENERATOR = ROOT / "docs/reference/generate.py"


def test_reference_pages_say_what_the_code_says() -> None:
    pages: dict[str, str] = runpy.run_path(str(GENERATOR))["pages"]()
    for name, text in pages.items():
        found = (GENERATOR.parent / name).read_text(encoding="utf-8")
        assert found == text, f"docs/reference/{name} is out of date: run `make reference`"


def test_every_setting_option_and_function_is_explained() -> None:
    pages: dict[str, str] = runpy.run_path(str(GENERATOR))["pages"]()
    empty = [line for text in pages.values() for line in text.splitlines() if line.endswith("|  |")]
    assert not empty


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """A link to a page or a heading that is not there is a warning, and so an error here."""
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html",
         "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "site")],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/index.html").exists()
