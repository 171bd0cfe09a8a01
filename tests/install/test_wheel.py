"""The wheel: installed into a clean environment, away from the checkout, it builds and runs C."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import ROOT


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without network."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(
        sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_all_shipped_files_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("templates", "firmware", "boards"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                assert f"codegen/_data/{path.relative_to(ROOT)}" in names
    for package in ("nestnet", "codegen"):
        for path in (ROOT / package).rglob("*.py"):
            assert str(path.relative_to(ROOT)) in names
    assert "codegen/target/emulator/count_blocks.c" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nestnet", "codegen"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_wheel_generates_and_runs_outside_the_checkout(
    wheel: Path, workspace: Path, tmp_path: Path
) -> None:
    clean = tmp_path / "clean"
    _run(sys.executable, "-m", "venv", "--without-pip", clean, cwd=tmp_path)
    python = clean / "bin" / "python"
    library = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
                        cwd=tmp_path).strip())  # fmt: skip
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
         "--quiet", wheel, cwd=tmp_path)  # fmt: skip
    # torch and the other dependencies are this environment's; their own .pth files (such as that
    # of an editable nestnet) are not followed from here.
    dependencies = {sysconfig.get_path("purelib"), *site.getsitepackages()}
    (library / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n")
    where = _run(python, "-c", "import nestnet, codegen; print(nestnet.__file__, codegen.__file__)",
                 cwd=tmp_path)  # fmt: skip
    assert where.count(str(library)) == 2

    model = next((workspace / "runs").glob("*/model.nestnet"))
    nestnet = clean / "bin" / "nestnet"
    _run(nestnet, "codegen", "--board", "stm32f7", "--run", model, "--out", "f7", cwd=tmp_path)
    _run(nestnet, "build", "--out", "f7", cwd=tmp_path)
    assert (tmp_path / "f7/build/firmware.elf").is_file()
    shown = _run(nestnet, "run", "--board", "qemu_m4", "--run", model, "--images", "2",
                 "--out", "m4", cwd=tmp_path)  # fmt: skip
    assert "yes" in shown
    assert str(ROOT) not in (tmp_path / "f7/library/model.c").read_text()
