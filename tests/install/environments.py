"""Fresh virtual environments with the newest or the oldest versions that pyproject.toml admits."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ENDS = ("newest", "oldest")
NOT_FOR_DEPLOYING = frozenset({"torch", "scikit-learn", "pillow", "soundfile", "pyocd"})
"""What `nestnet info`, `codegen`, `build` and the host and emulated boards do without: torch is
for training, scikit-learn, pillow and soundfile for data sets, pyocd for a debug probe."""


class Unavailable(Exception):
    """Say what this machine or its package index lacks."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds nestnet as a user has it: from its wheel."""

    folder: Path
    versions: dict[str, str]
    """Of the packages that pyproject.toml names, as far as they are installed."""

    def run(self, *command: str | Path) -> str:
        """Run a program of the environment beside it, away from the checkout; return its output."""
        program = self.folder / "bin" / str(command[0])
        return call(program, *command[1:], cwd=self.folder.parent)


def call(*command: str | Path, cwd: Path) -> str:
    """Run ``command`` without this checkout's settings; return what it wrote.

    Raises:
        AssertionError: it failed; the text is all that it wrote.
    """
    settings = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "MFLAGS"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key not in settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def pythons() -> tuple[str, ...]:
    """Return the Python versions that pyproject.toml says are tested, such as 3.12."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.fullmatch(r".* :: Python :: (3\.\d+)", text) for text in project["classifiers"])
    return tuple(match[1] for match in found if match)


def interpreter(version: str) -> Path:
    """Return a Python of that version, from PATH or pyenv.

    Raises:
        Unavailable: there is none that starts.
    """
    named = [Path(path) for path in [shutil.which(f"python{version}")] if path]
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        named.insert(0, Path(sys.executable))
    if shutil.which("pyenv"):
        root = Path(call("pyenv", "root", cwd=ROOT).strip())
        named += sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)
    for path in named:
        show = [path, "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(show, capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return path
    raise Unavailable(f"no Python {version} with venv on this machine")


def build_wheel(folder: Path) -> Path:
    """Build nestnet's wheel into ``folder``, without network."""
    call(
        sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


def requirements(wheel: Path) -> tuple[Requirement, ...]:
    """Return what the wheel asks pip for, extras left out."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    found = map(Requirement, metadata.get_all("Requires-Dist") or [])
    return tuple(r for r in found if r.marker is None or "extra" not in str(r.marker))


def check_index(folder: Path) -> None:
    """Raise Unavailable where pip reaches no package index; ``folder`` is where to stand."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--retries", "0", "--timeout"]
    done = subprocess.run(
        [*command, "10", "pyelftools"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable("pip reaches no package index")


def oldest(python: Path, requirement: Requirement, cwd: Path) -> str:
    """Return the oldest version that ``requirement`` admits and ``python`` finds built.

    The lower end of a range is the oldest for some Python, not for each: a package that holds
    machine code is built for the Pythons of its own time.
    """
    index = (python, "-m", "pip", "index", "versions", "--only-binary", ":all:")
    text = call(*index, requirement.name, cwd=cwd)
    (listed,) = re.findall(r"^Available versions: (.*)$", text, re.MULTILINE)
    versions = [Version(version) for version in listed.split(", ")]
    return str(min(v for v in versions if v in requirement.specifier))


def make(folder: Path, version: str, wheel: Path, end: str, without: frozenset[str]) -> Environment:
    """Make an environment in ``folder``: the wheel, and all it asks for except ``without``.

    Args:
        folder: a new folder.
        version: of Python.
        wheel: nestnet's.
        end: newest or oldest versions.
        without: names of packages to leave out. Of torch the CPU build that the tests are pinned to
            is taken, since the package index's own brings gigabytes.

    Raises:
        Unavailable: no such Python, no index, or no CPU build of torch for it.
        AssertionError: pip cannot install what pyproject.toml admits.
    """
    base = interpreter(version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_index(folder.parent)
    call(base, "-m", "venv", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    wanted = [r for r in requirements(wheel) if r.name not in without | {"torch"}]
    if "torch" not in without:
        _install_torch(python, folder.parent)
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if end == "oldest":  # a pip of 2023 lists what it finds no wheel for
        call(*pip, "--upgrade", "pip", cwd=folder.parent)
    chosen = [
        f"{r.name}=={oldest(python, r, folder.parent)}" if end == "oldest" else str(r)
        for r in wanted
    ]
    built = [f"--only-binary={r.name}" for r in wanted]
    call(*pip, *built, *chosen, cwd=folder.parent)
    call(*pip, "--no-deps", wheel, cwd=folder.parent)
    return Environment(folder, _versions(python, wheel, folder.parent))


def _install_torch(python: Path, cwd: Path) -> None:
    pins = (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8")
    (pin,) = re.findall(r"^torch==.*$", pins, re.MULTILINE)
    try:
        call(python, "-m", "pip", "install", "--quiet", f"{pin}+cpu", cwd=cwd)
    except AssertionError as error:
        raise Unavailable(f"pip finds no {pin}+cpu for this Python") from error


def _versions(python: Path, wheel: Path, cwd: Path) -> dict[str, str]:
    listed = call(python, "-m", "pip", "list", "--format", "freeze", cwd=cwd)
    installed = dict(re.findall(r"^(\S+)==(\S+)$", listed, re.MULTILINE))
    by_name = {name.lower().replace("_", "-"): version for name, version in installed.items()}
    names = [r.name.lower() for r in requirements(wheel)]
    return {name: by_name[name] for name in names if name in by_name}


def unpack_run(folder: Path) -> Path:
    """Write the committed run, two levels of tiny.py trained on digits, into ``folder``."""
    folder.mkdir(parents=True)
    text = (HERE / "model.nestnet.base64").read_text(encoding="ascii")
    (folder / "model.nestnet").write_bytes(base64.b64decode(text))
    shutil.copy(HERE / "config.toml", folder)
    return folder
