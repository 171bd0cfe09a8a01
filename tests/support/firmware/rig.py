"""Compile harness.c and run it on the host or on the emulated Cortex-M4."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from codegen.target.emulator import counts, plugin
from tests.support.commands import ROOT
from tests.support.firmware.cases import Case, write

HARNESS = Path(__file__).parent
FIRMWARE = ROOT / "firmware"
LIBRARY = tuple(
    sorted(
        path
        for path in FIRMWARE.rglob("*.[ch]")
        if path.relative_to(FIRMWARE).parts[0] not in ("port", "startup")
    )
)
"""The files of the runtime that a program needs: no port, no start-up code."""

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
STANDARD = ("-std=c11", "-g")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
M7_FLAGS = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")
M4_FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")


def kernel_flags(kind: str, folder: Path) -> list[str]:
    """Return the flags that choose kernels and find headers.

    Args:
        kind: "portable", "dsp", "m7", or "dsp-on-host": the dsp kernels on a machine without their
            instructions.
        folder: of cases.inc.
    """
    chosen = {"dsp-on-host": ["-DNN_KERNELS=dsp", "-DNN_SIMD_IN_C=1"]}
    paths = [f"-I{path}" for path in (FIRMWARE, FIRMWARE / "port", HARNESS, folder)]
    return [*chosen.get(kind, [f"-DNN_KERNELS={kind}"]), *paths]


def need(tool: str) -> str:
    """Skip the calling test where a tool is missing; return its name."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return tool


def run_checked(command: list[str], folder: Path) -> None:
    """Run a command; fail with its output."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    text = f"{result.stdout}{result.stderr}"
    assert result.returncode == 0, f"{command[0]} exits with {result.returncode}:\n{text[-4000:]}"


def run_host(
    cases: list[Case], folder: Path, kind: str, compiler: str, flags: tuple[str, ...]
) -> bytes:
    """Return the outputs of the cases, computed on this computer."""
    write(cases, folder)
    sources = [HARNESS / "harness.c", HARNESS / "harness_memory_host.c"]
    sources += [FIRMWARE / "port" / name for name in ("nn_port_host.c", "nn_mark.c")]
    command = [compiler, *STANDARD, *WARNINGS, *flags, *kernel_flags(kind, folder)]
    run_checked([*command, "-o", "harness", *map(str, sources)], folder)
    run_checked(["./harness"], folder)
    return (folder / "outputs.bin").read_bytes()


@dataclass(frozen=True)
class Emulated:
    """Outputs of the cases and executed instructions per run, from the emulated core."""

    outputs: bytes
    instructions: tuple[int, ...]
    counts: counts.Counts


def run_m4(
    cases: list[Case],
    folder: Path,
    kind: str = "dsp",
    flags: tuple[str, ...] = ("-O3",),
    measure: bool = True,
    machine: str = "mps2-an386",
    compiler: str = "arm-none-eabi-gcc",
) -> Emulated:
    """Run the cases on QEMU's Cortex-M4, or with machine "mps2-an500" on its Cortex-M7.

    Another compiler, "clang", makes the harness; start-up code and port come from gcc, which links.
    """
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm", compiler):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    write(cases, folder)
    if machine == "mps2-an500" and kind == "dsp":
        kind = "m7"
    elf = folder / "harness.elf"
    sources = [
        HARNESS / "harness.c",
        HARNESS / "harness_memory_m4.c",
        FIRMWARE / "port" / "nn_mark.c",
    ]
    sources += [
        FIRMWARE / "port" / "nn_port_semihosting.c",
        FIRMWARE / "startup" / "nn_startup.c",
    ]
    core = M7_FLAGS if machine == "mps2-an500" else M4_FLAGS
    options = [*core, *STANDARD, *WARNINGS, *kernel_flags(kind, folder)]
    if compiler != "arm-none-eabi-gcc":
        command = [compiler, "--target=arm-none-eabi", *flags, *options, "-c", "-o", "harness.o"]
        run_checked([*command, str(sources[0])], folder)
        sources[0] = folder / "harness.o"
        flags = ("-O2",)
    command = ["arm-none-eabi-gcc", *options, *flags, "-nostartfiles", "--specs=nano.specs"]
    command += ["-Wl,--no-warn-rwx-segments", "-T", str(HARNESS / "qemu.ld")]
    run_checked([*command, "-o", str(elf), *map(str, sources)], folder)
    emulator = ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none"]
    emulator += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
    slots = sum(len(case.runs) for case in cases)
    if measure:
        arguments = counts.plugin_arguments(elf, slots, folder / "counts.txt")
        text = ",".join(f"{key}={value}" for key, value in arguments.items())
        emulator += ["-plugin", f"{plugin.build()},{text}"]
    run_checked([*emulator, "-kernel", str(elf)], folder)
    outputs = (folder / "outputs.bin").read_bytes()
    recorded = counts.read(folder / "counts.txt") if measure else counts.Counts(slots, 0, ())
    return Emulated(outputs, recorded.instructions(), recorded)
