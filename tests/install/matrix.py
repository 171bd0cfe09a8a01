"""Install the wheel with the newest and the oldest versions of everything, on every Python.

``python -m experiments install`` does so and writes the table.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.install.checks import checks
from tests.install.environments import (
    Unavailable,
    build_wheel,
    interpreter,
    make,
    requirements,
)


@dataclass(frozen=True)
class Row:
    """What became of one environment."""

    python: str
    end: str
    said: str
    """The checks that passed, or why there is no such environment."""
    versions: dict[str, str]
    fine: bool
    """No check failed."""


def row(version: str, end: str, wheel: Path, folder: Path) -> Row:
    """Make and check one environment.

    An environment without torch takes the place of one for which there is no build of it.
    """
    without: frozenset[str] = frozenset()
    names = [requirement.name for requirement in requirements(wheel)]
    try:
        interpreter(version)
        try:
            environment = make(folder / "with" / "env", version, wheel, end, without)
        except Unavailable:
            environment = make(
                folder / "without" / "env", version, wheel, end, frozenset({"torch"})
            )
        passed = checks(environment)
    except Unavailable as error:
        return Row(version, end, str(error), {}, True)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return Row(version, end, "FAILED", {}, False)
    patch = environment.run("python", "-c", "import platform; print(platform.python_version())")
    versions = {name: environment.versions.get(name.lower(), "none") for name in names}
    return Row(patch.strip(), end, "; ".join(passed), versions, True)


def matrix(versions: Sequence[str], ends: Sequence[str]) -> Iterator[Row]:
    """Yield what became of every environment, with a wheel of this checkout."""
    with tempfile.TemporaryDirectory(prefix="install-") as name:
        wheel = build_wheel(Path(name))
        for version in versions:
            for end in ends:
                with tempfile.TemporaryDirectory(prefix="install-") as folder:
                    yield row(version, end, wheel, Path(folder))
