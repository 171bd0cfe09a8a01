"""What start-up code does after a fault, with somebody to tell and alone."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.firmware.rig import FIRMWARE, HARNESS, M4_FLAGS, M7_FLAGS, need, run_checked

HERE = Path(__file__).parent
WAYS = {"RETURN": 7, "UNDEFINED": 99, "NOWHERE": 99, "OVERFLOW": 99}
"""How the program ends, and its exit code."""
MACHINES = {
    "mps2-an385": ("-mcpu=cortex-m3", "-mthumb"),
    "mps2-an386": M4_FLAGS,
    "mps2-an500": M7_FLAGS,
}
PATIENCE_S = 60


def program(folder: Path, machine: str, way: str) -> Path:
    """Build fault_test.c; its stack lies at the bottom of RAM, as in a generated project."""
    need("qemu-system-arm")
    script = (HARNESS / "qemu.ld").read_text(encoding="ascii")
    low = script.replace("nn_stack_top = ORIGIN(ram) + LENGTH(ram);", "")
    low = low.replace("nn_stack_limit = nn_stack_top - 64K;", "")
    stack = ".stack (NOLOAD) : { nn_stack_limit = .; . += 2048; nn_stack_top = .; } > ram\n"
    low = low.replace("    .data :", f"{stack}    .data :", 1)
    (folder / "low.ld").write_text(low, encoding="ascii")
    sources = [HERE / "fault_test.c", FIRMWARE / "port/nn_port_semihosting.c"]
    sources += [FIRMWARE / "startup/nn_startup.c"]
    command = [need("arm-none-eabi-gcc"), *MACHINES[machine], "-std=c99", "-O1", f"-DWAY={way}"]
    command += [f"-I{FIRMWARE / 'port'}", "-nostartfiles", "-T", "low.ld", "-o", "fault.elf"]
    command += ["-Wl,--no-warn-rwx-segments"]
    run_checked([*command, *map(str, sources)], folder)
    return folder / "fault.elf"


def emulator(elf: Path, machine: str) -> list[str]:
    command = ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none"]
    return [*command, "-serial", "none", "-kernel", str(elf)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("way", WAYS)
def test_a_listener_learns_of_a_fault(machine: str, way: str, tmp_path: Path) -> None:
    command = emulator(program(tmp_path, machine, way), machine)
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == WAYS[way], done.stdout + done.stderr
    assert ("after" in done.stdout + done.stderr) == (way == "RETURN")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("way", WAYS)
def test_alone_every_program_ends_in_a_loop(machine: str, way: str, tmp_path: Path) -> None:
    """The emulator goes on until it is told to stop; a locked-up core ends it."""
    elf = program(tmp_path, machine, way)
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-d", "--disassemble=nn_port_exit", elf],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loops = [
        line.split(":")[0].strip() for line in listing.stdout.splitlines() if "\tb.n\t" in line
    ]
    log = tmp_path / "log"
    with subprocess.Popen(
        [*emulator(elf, machine), "-d", "in_asm", "-D", str(log)], stderr=subprocess.PIPE
    ) as running:
        deadline = time.monotonic() + PATIENCE_S
        found = False
        while not found and running.poll() is None and time.monotonic() < deadline:
            text = log.read_text() if log.exists() else ""
            found = any(f"0x{int(at, 16):08x}:" in text for at in loops)
            time.sleep(0.05)
        running.kill()
        message = running.stderr.read().decode() if running.stderr else ""
    assert found, message
