"""Where things are and what may know of what: rooms, floors, and one row of files per addition."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codegen import kernels, tasks
from codegen.emit import stack
from codegen.graph.ops import OPERATORS
from tests.support.commands import ROOT, environment
from tests.support.sources import imports, python_files

FLOORS: dict[str, list[set[str]]] = {
    "codegen": [
        {"errors", "paths"},
        {"graph"},
        {"formats", "tasks"},
        {"target"},
        {"program"},
        {"kernels", "passes"},
        {"lower"},
        {"emit"},
        {"measure"},
        {"flow"},
    ],
    "nestnet": [
        {"version", "notices", "config_checks", "pixels", "classes", "shorthand", "toml_text"},
        {"config", "models", "samples"},
        {"runs", "datasets", "net"},
        {"runfiles", "frontend", "sparsity", "tasks"},
        {"exporting"},
        {"training"},
        {"preview", "arguments"},
        {"api"},
        {"cli", "__init__"},
    ],
}
"""From the ground up: a room, or a module beside the rooms, imports only from floors below its own,
or from itself. ``nestnet.api`` is also imported by the package, lazily."""

MOST_MODULES = 16
"""In one folder, but for those of which every file is an operator or a kernel."""

ROWS = {"codegen/graph/ops", "codegen/kernels", "nestnet/net/ops"}


def room_of(path: Path) -> str:
    """Return the room of a module of codegen or nestnet."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) > 2 else path.stem


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_only_rooms_below_them(package: str) -> None:
    floor = {room: height for height, rooms in enumerate(FLOORS[package]) for room in rooms}
    for path in python_files(package):
        if path.parent.name == package and path.stem == "__init__":
            continue
        mine = room_of(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1 and parts[1] in floor:
                other = parts[1]
                assert other == mine or floor[other] < floor[mine], f"{path}: {name}"


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_is_on_a_floor(package: str) -> None:
    listed = {room for rooms in FLOORS[package] for room in rooms} | {"__init__"}
    assert {room_of(path) for path in python_files(package)} == listed


def test_no_folder_is_a_corridor() -> None:
    folders = {path.parent for package in FLOORS for path in python_files(package)}
    for folder in folders:
        modules = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        is_list = str(folder.relative_to(ROOT)) in ROWS
        assert is_list or len(modules) <= MOST_MODULES, folder


def test_every_room_says_what_it_is() -> None:
    folders = {path.parent for package in FLOORS for path in python_files(package)}
    for folder in folders:
        lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {folder.name}: ") and 3 <= len(lines) <= 6, folder


def test_meaning_needs_nothing_of_lowering() -> None:
    """Loading, verifying and running a network is the business of codegen.graph alone."""
    code = (
        "import sys, codegen.graph.file, codegen.graph.verify, codegen.graph.reference;"
        "print(*sorted(name for name in sys.modules if name.startswith('codegen.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = {name.split(".")[1] for name in done.stdout.split()}
    assert loaded == {"graph", "errors"}


# One row of files per operator and per kernel.


def stems(folder: str, pattern: str = "[a-z]*.py") -> set[str]:
    """Return the names of the files in ``folder``."""
    return {path.name.partition(".")[0] for path in (ROOT / folder).glob(pattern)}


def test_an_operator_is_one_file_of_its_name() -> None:
    files = {stem.replace("_", "") for stem in stems("codegen/graph/ops")}
    assert {name.lower() for name in OPERATORS} == files


def test_an_operator_is_complete() -> None:
    """A class that a file cannot hold would be found by name, and fail when it is made."""
    assert not [name for name, kind in OPERATORS.items() if inspect.isabstract(kind)]


def test_every_operator_is_computed_by_a_kernel_or_is_a_view() -> None:
    """Some kernel's file names the operator it takes."""
    imported = re.compile(r"^from codegen.graph.ops.* import (.*)", re.M)
    rows = (path.read_text() for path in (ROOT / "codegen/kernels").glob("[a-z]*.py"))
    names = {name for row in rows for line in imported.findall(row) for name in line.split(", ")}
    taken = names & set(OPERATORS)
    views = {name for name, kind in OPERATORS.items() if kind.is_view}
    assert taken | views == set(OPERATORS)


OURS = stems("codegen/kernels") - {"cmsis_nn"}
"""Kernels with C of our own."""


@pytest.mark.parametrize(
    ("folder", "pattern", "form"),
    [
        ("templates/kernels", "[a-z]*.j2", "{}"),
        ("firmware/kernels", "*/nn_*.h", "nn_{}"),
        ("firmware/kernels", "*/nn_*_portable.h", "nn_{}_portable"),
    ],
)
def test_every_kernel_has_its_file_in_every_wing(folder: str, pattern: str, form: str) -> None:
    found = stems(folder, pattern)
    missing = {form.format(kernel) for kernel in OURS} - found
    assert not missing, f"{folder} lacks them"


def test_no_template_is_left_without_its_kernel() -> None:
    assert stems("templates/kernels", "[a-z]*.j2") - {"shared"} == OURS | {"cmsis_nn"}


def test_every_kernel_is_named_after_its_file() -> None:
    for kernel in kernels.KERNELS:
        assert kernel.name == kernel.stem or kernel.stem == "cmsis_nn"
        assert kernel.__doc__ and type(kernel).__doc__


def test_every_kernel_has_its_stack_and_its_random_tests() -> None:
    assert set(stack.FRAME_BYTES) == {kernel.name for kernel in kernels.KERNELS}
    harness = (ROOT / "tests/support/firmware/harness.c").read_text(encoding="utf-8")
    for kernel in OURS:
        assert f"nn_{kernel}(" in harness, (
            f"tests/support/firmware/harness.c never calls nn_{kernel}"
        )


TESTED_TOGETHER = {
    *("add", "avg_pool", "batch_norm", "clamp", "conv2d", "dense_conv", "dense_linear"),
    *("depthwise_conv", "dropout", "grouped_conv", "linear", "max_pool", "nested_conv"),
    *("nested_linear", "reshape", "softmax"),
}
"""Kernels and stages that modules about several of them test."""


@pytest.mark.parametrize(
    ("folder", "tests"),
    [("codegen/kernels", "tests/codegen/kernels"), ("nestnet/net/ops", "tests/nestnet/net")],
)
def test_what_is_special_about_a_kernel_or_a_stage_is_tested(folder: str, tests: str) -> None:
    alone = stems(folder) - {"cmsis_nn"} - TESTED_TOGETHER
    assert {f"test_{name}" for name in alone} <= stems(tests, "test_*.py")


def test_the_page_of_the_contract_names_every_operator() -> None:
    page = (ROOT / "docs/integer-contract.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([a-z ]+) \| ", page, re.M))
    of_which_the_page_is_made = {"conv2d", "linear"}
    names = stems("codegen/graph/ops") - of_which_the_page_is_made
    assert {name.replace("avg", "average").replace("_", " ") for name in names} <= rows


def test_a_task_is_one_file_in_every_wing() -> None:
    """Training, the NumPy answer and the C of the same answer."""
    assert stems("nestnet/tasks") == stems("codegen/tasks") == set(tasks.TASKS)
    assert stems("templates/answers", "*.j2") == set(tasks.TASKS)
    assert stems("firmware/tasks", "nn_*.c") == {f"nn_{name}" for name in tasks.TASKS}
    for name, task in tasks.TASKS.items():
        own = ROOT / f"firmware/tasks/nn_{name}.h"
        declared = own if own.is_file() else ROOT / "firmware/nestnet.h"
        header = declared.read_text(encoding="utf-8")
        assert own.is_file() == (ROOT / f"templates/tasks/{name}.j2").is_file()
        body = (ROOT / f"firmware/tasks/nn_{name}.c").read_text(encoding="utf-8")
        assert task.firmware, f"{name} names no function of the C runtime"
        for function in task.firmware:
            assert f" {function}(" in header, f"{name}: {function} is not in {declared.name}"
            assert f" {function}(" in body, f"{name}: {function} is not in its file"
