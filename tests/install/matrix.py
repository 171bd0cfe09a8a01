"""Install the wheel with the newest and the oldest versions of everything, on every Python.

Usage: python -m tests.install.matrix [--write] [--python 3.12] [--end oldest]

Prints a table; --write, of all of it, also rewrites docs/results/install.md. Fails where a check
fails; what this machine or its package index lacks is said in the table.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import tempfile
from pathlib import Path

from tests.install.checks import checks
from tests.install.environments import (
    ENDS,
    ROOT,
    Unavailable,
    build_wheel,
    interpreter,
    make,
    pythons,
    requirements,
)

PAGE = ROOT / "docs/results/install.md"
HEAD = """# Installation

nestnet's wheel in fresh environments, on every Python that `pyproject.toml` names, with the newest
and the oldest version that it admits of each package. The oldest is the lower end of the range or,
where a package of that age is not built for a Python, the first that is. Made by
`make install-matrix` on {date}, {machine}. What is checked, in each environment:

- load, codegen, make, run: a committed network of two levels, bit for bit on this computer.
- digits: the same network on the data set it was trained on.
- pyOCD: what the runner of boards imports from it. No probe is used.
- train, quantize, export: the same module anew, eight epochs, then run on this computer.

Of torch only the CPU build that the tests are pinned to is installed, where pip finds one;
`docs/dependencies.md` says where else torch has been run.

"""


def row(version: str, end: str, wheel: Path, folder: Path) -> tuple[list[str], bool]:
    """Return a line of the table and whether no check failed.

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
        return [version, end, str(error), *("" for _ in names)], True
    except AssertionError as error:
        print(error, file=sys.stderr)
        return [version, end, "FAILED", *("" for _ in names)], False
    patch = environment.run("python", "-c", "import platform; print(platform.python_version())")
    versions = [environment.versions.get(name.lower(), "none") for name in names]
    return [patch.strip(), end, "; ".join(passed), *versions], True


def table(rows: list[list[str]], names: list[str]) -> str:
    """Return the rows as Markdown, one column per environment."""
    heads = ["Python", "versions", "passed", *names]
    lines = [[head, *(row[i] for row in rows)] for i, head in enumerate(heads)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(rows: list[list[str]], names: list[str]) -> str:
    """Return the page of the table, with its date and machine."""
    machine = f"{platform.system()} {platform.machine()}"
    today = datetime.date.today().isoformat()
    return HEAD.format(date=today, machine=machine) + table(rows, names)


def main() -> int:
    """Check every environment, print and perhaps write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"rewrite {PAGE.relative_to(ROOT)}")
    parser.add_argument("--python", choices=pythons(), help="this one only")
    parser.add_argument("--end", choices=ENDS, help="this one only")
    options = parser.parse_args()
    if options.write and (options.python or options.end):
        parser.error("--write takes the whole table")
    rows = []
    fine = True
    with tempfile.TemporaryDirectory(prefix="install-") as name:
        wheel = build_wheel(Path(name))
        names = [requirement.name for requirement in requirements(wheel)]
        for version in [options.python] if options.python else pythons():
            for end in [options.end] if options.end else ENDS:
                with tempfile.TemporaryDirectory(prefix="install-") as folder:
                    line, passed = row(version, end, wheel, Path(folder))
                print(*line, flush=True)
                rows.append(line)
                fine &= passed
    print(table(rows, names))
    if options.write and fine:
        PAGE.write_text(page(rows, names), encoding="utf-8")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
