"""What messages and documentation call an option is an option."""

from __future__ import annotations

import re

import pytest
import typer

from nestnet.cli.main import app
from tests.support.commands import ROOT
from tests.support.sources import python_files, strings

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OF_OTHERS = {
    "--nproc-per-node": "torchrun",
    "--output-sync": "make",
    "--target": "clang",
}
"""Options of other programs that are spoken of or passed on, and whose they are."""


def options() -> set[str]:
    """Return every option of every command."""
    top = typer.main.get_command(app)
    commands = [top, *top.commands.values()]  # type: ignore[attr-defined]
    found = {"--help"}
    for command in commands:
        for parameter in command.params:
            found |= {*parameter.opts, *parameter.secondary_opts}
    return {name for name in found if name.startswith("--")}


@pytest.mark.parametrize("package", ["nestnet", "codegen"])
def test_every_option_that_is_spoken_of_exists(package: str) -> None:
    known = options() | set(OF_OTHERS)
    for path in python_files(package):
        wrong = {name for text in strings(path) for name in OPTION.findall(text)} - known
        assert not wrong, path


def test_every_option_of_the_pages_exists() -> None:
    """A command line of ours in a page or a template, up to a comment."""
    known = options()
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    for path in [*pages, *(ROOT / "templates").rglob("*.j2")]:
        for line in re.findall(r"nestnet [a-z].*", path.read_text(encoding="utf-8")):
            command = re.split(r"[`#]| \|\|? ", line)[0]
            wrong = set(OPTION.findall(command)) - known
            assert not wrong, f"{path}: {line}"
