"""Where tests are: in a folder of the room they test, with what they share in tests/support."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import ROOT
from tests.support.sources import imports, python_files

ACROSS_ROOMS = {"e2e", "fuzz", "house", "install"}
"""Folders of tests that concern no single room."""


def modules() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def test_a_test_module_names_a_room_that_exists() -> None:
    """In ``tests/<package>/<room>/``, or ``test_<module>.py`` for a module beside the rooms."""
    for path in modules():
        folder = path.relative_to(ROOT / "tests").parent
        if folder.parts and folder.parts[0] in ACROSS_ROOMS:
            continue
        assert (ROOT / folder).is_dir() and folder.parts, f"{path}: no room {folder}/"
        if str(folder) in ("codegen", "nestnet"):
            module = ROOT / folder / path.name.removeprefix("test_")
            assert module.is_file(), f"{path}: no module {module.relative_to(ROOT)}"


def test_what_tests_share_is_in_support() -> None:
    """No module imports a test module; what two need is a module of tests/support."""
    for path in python_files("tests"):
        for name in imports(path):
            parts = name.split(".")
            shared = parts[0] != "tests" or not any(p.startswith("test_") for p in parts[1:-1])
            assert shared, f"{path}: {name}"


def test_every_folder_of_tests_says_what_it_needs() -> None:
    folders = {path.parent for path in python_files("tests")} | {ROOT / "tests"}
    for folder in folders:
        lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {folder.name}: ") and len(lines) <= 6, folder
        assert lines[-1].startswith("Needs: "), folder
