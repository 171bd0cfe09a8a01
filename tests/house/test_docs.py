"""The documents: links resolve, and the README's commands and code work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Here, environment, nestnet

README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
ROOMS = ("docs", "experiments", "codegen", "nestnet", "firmware", "tests")
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    path for folder in ROOMS for path in (ROOT / folder).rglob("*.md") if "golden" not in path.parts
)
"""Every page; a generated project's are tested with it."""
LONG = {
    "make demo": "takes minutes; it is the main job itself",
    "make test": "would run this test again",
}
NEEDS_DATA = ("photos.zip", "--data DIR")


def blocks(language: str, text: str = README) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def commands(text: str = README) -> list[str]:
    lines = (line.strip() for block in blocks("sh", text) for line in block.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), f"link to {target}"
    folders = "docs|experiments|codegen|nestnet|firmware|boards|templates|tests|[.]ci"
    named = re.findall(rf"`((?:{folders})/[^`\s]*)`", text)
    for name in named:
        if not re.search(r"[<*{]", name):
            found = (ROOT / name).exists() or (path.parent / name).exists()
            assert found, f"{path.name} names {name}"


def test_readme_starts_with_the_make_targets() -> None:
    assert commands()[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in LONG:
        target = command.split()[1]
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_readme_flow_runs(tmp_path: Path) -> None:
    """Run every nestnet command of the README in order, with few epochs and images."""
    ran = []
    for line in commands():
        if line in LONG or any(word in line for word in NEEDS_DATA):
            continue
        program, *arguments = shlex.split(line)
        assert program == "nestnet", f"unknown command in the README: {line}"
        if arguments[0] == "train":
            arguments += ["--epochs", "2", "--batch", "256"]
        if arguments[0] in ("run", "bench"):
            arguments += ["--images", "2"]
        done = nestnet(*arguments, folder=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        ran.append(arguments[0])
    assert ran == ["train", "codegen", "build", "run", "bench"]
    _compile_the_knob(tmp_path)


def _compile_the_knob(folder: Path) -> None:
    """Compile the README's C against the project that the README's commands made."""
    (code,) = blocks("c")
    _compile(code, folder, folder / "build/net-digits-1-stm32f7", "cortex-m7")


def _compile(code: str, folder: Path, project: Path, cpu: str) -> None:
    (folder / "knob.c").write_text(code)
    done = subprocess.run(
        ["arm-none-eabi-gcc", f"-mcpu={cpu}", "-mthumb", "-Wall", "-Wextra", "-Werror",
         "-std=c99", f"-I{project}/library", "-c", "knob.c", "-o", "knob.o"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_tutorial_runs(tmp_path: Path) -> None:
    """Do what the tutorial says, in an empty folder, with few epochs and images."""
    (photos,) = blocks("python", TUTORIAL)
    subprocess.run([sys.executable, "-c", photos], cwd=tmp_path, check=True)
    ran = []
    for line in commands(TUTORIAL):
        program, *arguments = shlex.split(line)
        assert program == "nestnet", f"unknown command in the tutorial: {line}"
        if arguments[0] == "train":
            arguments[arguments.index("--epochs") + 1] = "4"
        if arguments[0] == "run":
            arguments += ["--images", "2"]
        done = nestnet(*arguments, folder=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        ran.append(arguments[0])
    assert ran == ["train", "info", "bench", "run", "run", "codegen", "build", "predict"]
    (code,) = blocks("c", TUTORIAL)
    _compile(code, tmp_path, tmp_path / "mine-stm32f4", "cortex-m4")


@pytest.mark.parametrize("line", [c for c in commands() if any(w in c for w in NEEDS_DATA)])
def test_readme_commands_that_need_data_parse(line: str, here: Here) -> None:
    """Their flags are right: the first complaint is about the data that is not there."""
    done = here(*shlex.split(line)[1:])
    assert done.returncode == 2
    assert re.search(r"(photos\.zip|DIR): no such file or directory", done.stderr), done.stderr


def test_readme_python_runs(tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert code.count("epochs=40") == 1
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    done = subprocess.run(
        [sys.executable, "-c", code.replace("epochs=40", "epochs=4")],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "LevelAccuracy" in done.stdout


def test_readme_knob_has_ten_lines() -> None:
    (code,) = blocks("c")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_dependencies_are_documented() -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = declared["dependencies"] + declared["optional-dependencies"]["dev"]
    text = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    pins = (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8").lower()
    for requirement in wanted:
        name = re.split(r"[<>=]", requirement)[0]
        assert re.search(rf"\b{re.escape(name)}\b", text), f"{name} has no reason"
        assert f"\n{name.lower()}==" in pins, f"{name} is not pinned"
