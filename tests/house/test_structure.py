"""The rules of CONTRIBUTING.md that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.target import boards, chips, cores
from nestnet import config, datasets, models, tasks
from tests.support.commands import ROOT, environment
from tests.support.sources import imports, parsed, python_files, strings, tracked

TOP_LEVEL = {
    "nestnet", "codegen", "templates", "firmware", "boards", "tests", "experiments", "docs",
    "Makefile", "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
}  # fmt: skip
CODEGEN_FOR_NESTNET = {
    "codegen.graph.ops", "codegen.graph.pools", "codegen.graph.sources", "codegen.graph.window",
    "codegen.graph.ir", "codegen.errors", "codegen.graph.file", "codegen.formats.storage",
}  # fmt: skip
CALLERS_OF_CODEGEN = {
    "demo.py", "info.py", "board_page.py", "bench_tables.py", "bench_source.py",
    "device_images.py", "c_array.py", "outputs.py", "flash_total.py",
    "tile.py",
}  # fmt: skip
"""The command line, what it prints, writes and feeds to devices, the demo, the command that
explains files, and what a training asks of a board: flash for its firmware, RAM for a tile."""


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_top_level_is_what_the_design_says() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("path", python_files("codegen"), ids=lambda p: str(p.relative_to(ROOT)))
def test_codegen_never_imports_training(path: Path) -> None:
    wrong = [n for n in imports(path) if inside(n, "torch") or inside(n, "nestnet")]
    assert not wrong


@pytest.mark.parametrize("path", python_files("nestnet"), ids=lambda p: str(p.relative_to(ROOT)))
def test_training_knows_only_the_graph(path: Path) -> None:
    if path.parent.name == "commands":
        return
    if path.parent.name in ("cli", "preview") and path.name in CALLERS_OF_CODEGEN:
        return
    used = [name for name in imports(path) if inside(name, "codegen")]
    known = CODEGEN_FOR_NESTNET | ({"codegen.tasks"} if path.parent.name == "tasks" else set())
    wrong = [n for n in used if not any(inside(n, allowed) for allowed in known)]
    assert not wrong


def test_only_paths_py_looks_for_the_shipped_folders() -> None:
    pattern = re.compile(r"""["'](templates|firmware|boards)["'/]""")
    for path in python_files("codegen"):
        text = path.read_text(encoding="utf-8")
        if path.name != "paths.py" and "__file__" in text:
            assert not pattern.search(text), path


def test_importing_codegen_does_not_load_torch() -> None:
    code = "import sys, codegen.flow; sys.exit('torch' in sys.modules or 'nestnet' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 0


def test_only_render_writes_c() -> None:
    c_text = re.compile(r"#include|int8_t \*|\bstatic const\b")
    for path in python_files("codegen"):
        for text in strings(path):
            assert not c_text.search(text), f"C text in {path}: {text[:60]!r}"


# The prices of an addition: what is found by listing a folder is named nowhere else.


def mentions(name: str, packages: tuple[str, ...], own: Path) -> set[str]:
    """Return the modules other than ``own`` that hold the string ``name``."""
    return {
        str(path.relative_to(ROOT))
        for package in packages
        for path in python_files(package)
        if path != own and name in strings(path)
    }


@pytest.mark.parametrize("name", boards.names())
def test_a_board_costs_one_file(name: str) -> None:
    if name == "host":
        return  # also the name of a runner and of a core
    allowed = {
        f"nestnet/cli/{file}.py" for file in ("demo", "commands/run", "commands/bench")
    }  # defaults
    assert mentions(name, ("codegen", "nestnet"), ROOT / "boards") <= allowed


@pytest.mark.parametrize("name", sorted({*cores.names(), *chips.names()} - {"host"}))
def test_a_chip_or_a_core_costs_one_file(name: str) -> None:
    found = mentions(name, ("codegen", "nestnet"), ROOT / "boards")
    # A pipeline model has the name of the core it was made for.
    assert not {path for path in found if not path.startswith("codegen/measure/pipelines/")}


def test_a_data_set_costs_one_file() -> None:
    for name in datasets.names():
        (own,) = (ROOT / "nestnet/datasets").rglob(f"{name}.py")
        # Its own name for the cache aside, only the default is named elsewhere; data sets say of
        # one another which reads what they do not.
        elsewhere = mentions(name, ("nestnet",), own)
        assert {path for path in elsewhere if not path.startswith("nestnet/datasets/")} <= {
            "nestnet/config.py"
        }


def test_a_model_costs_one_file() -> None:
    for name in models.names():
        own = ROOT / f"nestnet/models/{name}.py"
        assert own.is_file()
        defaults = {"nestnet/models/__init__.py", "nestnet/training/session.py"}
        defaults |= {f"nestnet/tasks/{task}.py" for task in tasks.names()}
        assert mentions(name, ("nestnet", "codegen"), own) <= defaults


def test_every_pass_is_in_the_pipeline() -> None:
    """Or what a step of the pipeline rewrites the graph by where it finds that better."""
    steps = (ROOT / "codegen/lower").glob("*.py")
    names = {name for path in steps for name in imports(path)}
    used = {name.split(".")[2] for name in names if inside(name, "codegen.passes")}
    files = sorted((ROOT / "codegen/passes").glob("[a-z]*.py"))
    helpers = {
        name.split(".")[2]
        for path in files
        for name in imports(path)
        if inside(name, "codegen.passes")
    }
    assert used == {path.stem for path in files} - helpers


# Configuration files and names.


def test_every_shipped_board_loads() -> None:
    names = boards.names()
    assert {"stm32f7", "stm32f4", "stm32l4", "qemu_m4", "qemu_m7", "host"} <= set(names)
    for name in names:
        loaded = boards.load(name)
        assert loaded.id == name
        assert loaded.runner in boards.RUNNERS
        if name.startswith("stm32"):
            assert "not yet run on hardware" in loaded.status


def test_every_toml_file_is_valid() -> None:
    files = [path for path in tracked() if path.suffix == ".toml"]
    assert len(files) >= 7
    for path in files:
        assert tomllib.loads(path.read_text(encoding="utf-8")), path


def test_default_configuration_survives_toml() -> None:
    default = config.TrainConfig()
    assert config.from_toml(config.to_toml(default), "default") == default


UNITS = ("_bytes", "_hz", "_states", "_cycles", "_ratio")
NO_UNIT_NEEDED = {"address", "device_id", "set_bits"}


def test_numbers_of_boards_have_a_unit() -> None:
    def numbers(table: dict[str, object]) -> Iterator[str]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from numbers(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, dict):
                        yield from numbers(item)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield key

    for path in sorted((ROOT / "boards").rglob("*.toml")):
        for key in numbers(tomllib.loads(path.read_text(encoding="utf-8"))):
            assert key.endswith(UNITS) or key in NO_UNIT_NEEDED, f"{path.name}: {key}"


C_LINES = 400
"""Most lines of a C file or header."""


def test_c_files_stay_readable() -> None:
    files = [
        path for path in tracked() if path.suffix in (".c", ".h") and "golden" not in path.parts
    ]
    assert files
    for path in files:
        assert path.read_text(encoding="utf-8").count("\n") <= C_LINES, path


# What must not be in the repository.


def test_no_path_of_a_machine() -> None:
    here = "|".join(re.escape(f"{path}/") for path in (ROOT, Path.home()))
    home = re.compile(rf"(?<![\w.])({here}|/home/\w+|/Users/\w+|[A-Z]:\\\\)")
    for path in tracked():
        if path.suffix in {".py", ".c", ".h", ".j2", ".toml", ".md", ".json", ""}:
            found = home.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found or path == Path(__file__), f"{path}: {found and found.group()}"


def test_no_large_and_no_binary_file() -> None:
    for path in tracked():
        assert path.stat().st_size < 1_000_000, path
        assert b"\0" not in path.read_bytes()[:8000], f"binary: {path}"


def test_modules_and_functions_stay_readable() -> None:
    for path in [p for package in ("codegen", "nestnet") for p in python_files(package)]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 450, path
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                statements = node.body[1:] if ast.get_docstring(node) else node.body
                if statements:
                    length = (node.end_lineno or 0) - statements[0].lineno + 1
                    assert length <= 75, f"{path}: {node.name} has {length} lines"


def test_every_skip_has_a_reason() -> None:
    for path in python_files("tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail",
            }:  # fmt: skip
                named = [k for k in node.keywords if k.arg == "reason"]
                given = node.args[-1:] if node.func.attr == "skip" else []  # type: ignore[attr-defined]
                assert named or given, f"{path}:{node.lineno}"


def test_every_test_can_fail() -> None:
    """A test asserts, expects an exception, or calls a helper whose name says that it checks."""
    for path in python_files("tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert any(map(can_fail, ast.walk(node))), f"{path}:{node.lineno} {node.name}"


CHECKERS = ("assert", "check", "raises", "warns", "verify", "expect", "refuse", "compare")
"""Words in the names of functions that fail where something is wrong."""


def can_fail(node: ast.AST) -> bool:
    """Return whether ``node`` is an assertion, or a call that checks: ``run(check=True)``, too."""
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Assert | ast.Raise)
    name = ast.unparse(node.func).rpartition(".")[2]
    checked = any(
        word.arg == "check" and ast.unparse(word.value) == "True" for word in node.keywords
    )
    return checked or any(word in name for word in CHECKERS)


@pytest.mark.parametrize(
    ("body", "fails"),
    [
        ("subprocess.run(command, check=False)", False),
        ("subprocess.run(command, check=True)", True),
        ("checked = run(command)", False),
        ("verify(graph)", True),
        ("with pytest.raises(ValueError): run()", True),
        ("with pytest.warns(UserWarning): run()", True),
        ("assert run()", True),
    ],
)
def test_what_counts_as_a_check(body: str, fails: bool) -> None:
    assert any(map(can_fail, ast.walk(ast.parse(body)))) == fails
