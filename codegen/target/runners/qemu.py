"""Run a project on an emulated Cortex-M and count every executed instruction."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile

from codegen.errors import UserError
from codegen.target import toolchain
from codegen.target.emulator import counts, plugin
from codegen.target.emulator.counts import Counts
from codegen.target.toolchain import Built

TIMEOUT_S = 1800
_COUNTS = "counts.txt"


def execute(built: Built, folder: Path, levels: int, memory: Mapping[str, int]) -> Counts:
    """Run runner.elf in ``folder`` under QEMU; the windows of each level are added up.

    Raises:
        UserError: QEMU is missing, cannot load the plugin, or the program faults or hangs.
    """
    assert built.board.qemu_machine is not None
    out = folder / _COUNTS
    run_elf(built.runner_elf, built.board.qemu_machine, folder, levels, out, memory)
    recorded = counts.read(out)
    if recorded.windows == 0:
        raise _failed("the program stopped before its first inference", "no measured window")
    return recorded


def run_elf(
    elf: Path,
    machine: str,
    folder: Path,
    slots: int,
    out: Path,
    memory: Mapping[str, int] | None = None,
) -> int:
    """Run any program with the markers of nn_port.h; return its exit code, write counts to ``out``.

    Raises:
        UserError: QEMU is missing, cannot load the plugin, or the program faults or hangs.
    """
    qemu = toolchain.find("qemu-system-arm")
    arguments = {
        "file": str(plugin.build()),
        **counts.plugin_arguments(elf, slots, out, memory),
    }
    # A comma inside a value is written twice.
    option = ",".join(f"{key}={value.replace(',', ',,')}" for key, value in arguments.items())
    command = [qemu, "-machine", machine, "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf.resolve())]
    command += ["-plugin", option]
    try:
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _failed("the program does not end", f"nothing after {TIMEOUT_S} s") from error
    if not out.exists() and "R00=" in result.stderr:
        raise _faulted(elf, machine, result.stderr)
    if not out.exists():
        raise _failed("qemu-system-arm did not run the program", result.stderr.strip()[-1000:])
    return result.returncode


def _faulted(elf: Path, machine: str, dump: str) -> UserError:
    """Return the error for a program at whose fault QEMU gave up and printed the registers."""
    said = next((line for line in dump.splitlines() if "fatal" in line), dump.strip()[:200])
    with elf.open("rb") as stream:
        loaded = [s["p_paddr"] for s in ELFFile(stream).iter_segments("PT_LOAD") if s["p_filesz"]]
    address = f"{min(loaded):#010x}" if loaded else "no address"
    return UserError(
        "qemu",
        "the program faulted, as at start when its code lies where the machine has no memory",
        got=f"code at {address} on {machine}; {said.strip()}",
        expected="code where the emulated machine starts",
        action="Compare the address of the code region in the board's file with the machine's",
    )


def _failed(what: str, got: str) -> UserError:
    return UserError(
        "qemu",
        what,
        got=got,
        expected="a complete run",
        action="Check that qemu-system-arm is 7.2 or newer with plugin support (Debian's is)",
    )
