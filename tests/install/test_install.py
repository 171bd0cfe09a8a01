"""The wheel with versions of other packages than those that the other tests run with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nestnet.cli.errors import LOADED_LATE
from tests.install.checks import deploy
from tests.install.environments import (
    ENDS,
    NOT_FOR_DEPLOYING,
    ROOT,
    Environment,
    Unavailable,
    build_wheel,
    call,
    make,
    pythons,
    requirements,
)

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
QUICK = [(version, "newest") for version in pythons()] + [(HERE, "oldest")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def environment(folder: Path, version: str, wheel: Path, end: str) -> Environment:
    """Return an environment in which networks can be deployed; skip the test where it cannot be."""
    try:
        return make(folder / "env", version, wheel, end, NOT_FOR_DEPLOYING)
    except Unavailable as error:
        pytest.skip(f"{error}")


@pytest.mark.parametrize(("version", "end"), QUICK)
def test_a_network_is_deployed_with_any_versions(
    version: str, end: str, wheel: Path, tmp_path: Path
) -> None:
    """`make experiment NAME=install` does so with all packages at both ends."""
    installed = environment(tmp_path, version, wheel, end)
    assert set(installed.versions) >= {"numpy", "jinja2", "lz4", "typer"}
    deploy(installed)
    for command, package in (("train", "torch"), ("models", "torch"), ("datasets", "pillow")):
        refused = subprocess.run(
            [tmp_path / "env/bin/nestnet", command],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert refused.stderr.endswith(f"Run: pip install {package}.\n")
        assert refused.stderr.count("\n") == 1


def test_the_command_loads_no_package_that_only_some_commands_need() -> None:
    """Else those that only deploy would need torch."""
    script = (
        "import sys, nestnet.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = call(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}",
                  cwd=ROOT.parent).split()  # fmt: skip
    assert "codegen" in loaded and "typer" in loaded
    assert not {*LOADED_LATE, "scipy", "pyocd"} & set(loaded)


def rows() -> dict[str, list[str]]:
    """Return the committed table: the first column's entries and the others."""
    text = (ROOT / "experiments/install/page.md").read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return {line[0]: line[1:] for line in cells}


def test_both_ends_of_every_range_were_tested(wheel: Path) -> None:
    """A new lower end, package or Python needs `make experiment NAME=install` and its table."""
    table = rows()
    minors = [".".join(version.split(".")[:2]) for version in table["Python"]]
    assert minors == [version for version in pythons() for _ in ENDS]
    assert table["versions"] == list(ENDS) * len(pythons())
    assert all("load, codegen, make, run" in passed for passed in table["passed"])
    tested = {name: cells for name, cells in table.items() if name not in ("Python", "versions",
              "passed", "---")}  # fmt: skip
    wanted = {r.name: r.specifier for r in requirements(wheel)}
    assert set(tested) == set(wanted)
    for name, specifier in wanted.items():
        (lower,) = re.findall(r">=([\d.]+)", str(specifier))
        found = {version for version in tested[name] if version != "none"}
        assert all(version.partition("+")[0] in specifier for version in found), name
        if name != "torch":  # docs/dependencies.md: its lower end was tested by hand
            padded = [
                version for version in found if re.fullmatch(rf"{re.escape(lower)}(\.0)*", version)
            ]
            assert padded, f"{name} {lower}: not among {sorted(found)}"
