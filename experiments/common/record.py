"""What a result needs to be repeated: command, seeds, date, machine and the tools' versions."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.target import toolchain


@dataclass(frozen=True)
class Record:
    """How a result came about."""

    command: str
    seeds: Sequence[int]
    date: str
    machine: str
    tools: Sequence[str]
    """First lines of what the tools say of their versions."""

    def footer(self) -> str:
        """Return the last lines of the result's page."""
        facts = [f"Date: {self.date}"]
        facts += [f"machine: {self.machine}"] if self.machine else []
        if self.seeds:
            facts += [f"seed{'s'[: len(self.seeds) > 1]}: {', '.join(map(str, self.seeds))}"]
        facts += ["; ".join(self.tools)] if self.tools else []
        return (
            f"Written by `{self.command}`; the numbers are in `result.json`.\n{'; '.join(facts)}.\n"
        )


def command(name: str, arguments: Sequence[str]) -> str:
    """Return the command as others can give it: of an absolute path, only the last part."""
    plain = [Path(word).name if Path(word).is_absolute() else word for word in arguments]
    return shlex.join(["python", "-m", "experiments", name, *plain])


def machine() -> str:
    """Return how many cores of which processor this machine has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.M)
    return f"{os.cpu_count()} cores of {model[1] if model else 'an unknown processor'}"


def versions(tools: Sequence[str]) -> tuple[str, ...]:
    """Return the first line of what each tool says of its version.

    Raises:
        UserError: a tool is not installed.
    """
    said = []
    for tool in tools:
        run = [toolchain.find(tool), "--version"]
        text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        said.append(text.splitlines()[0])
    return tuple(said)
