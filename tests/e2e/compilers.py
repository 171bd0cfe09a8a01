"""Every compiler, optimization level and core: the same bits, and no more stack than promised.

Two small networks are built in every way of :data:`WAYS` and run on the emulated cores.
``python -m experiments compilers`` does all of it, test_compilers.py takes a sample.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codegen.emit import project
from codegen.graph import reference
from codegen.graph.ir import Graph
from codegen.graph.synthetic import random_images
from codegen.target import runners, toolchain
from codegen.target.runners import protocol
from codegen.target.target import Choices, resolve
from codegen.target.toolchain import Built
from tests.e2e.interrupts import mixed_graph
from tests.support.projects import coded_graph

NETWORKS: dict[str, tuple[Graph, Choices]] = {
    "mixed": (mixed_graph(), Choices(optimize="balanced", codecs="raw")),
    "coded": (coded_graph(), Choices(optimize="size", codecs="all", decode="level")),
}
"""All kernels with tables, depthwise among them; and every group size with coded streams."""

_SECTIONS = "-ffunction-sections -fdata-sections"
_WARNINGS = "-Wall -Wextra -Wconversion -Wshadow -Werror"


@dataclass(frozen=True)
class Way:
    """One way to build a project."""

    name: str
    board: str
    compiler: str = "arm-none-eabi-gcc"
    flags: str = "-std=c11 -O3"
    cpu: str | None = None
    """Instead of the board's flags."""
    portable: bool = False
    """Portable kernels where the board would take others."""
    extra: dict[str, str] = field(default_factory=dict)
    bounded: bool = True
    """Whether NN_*_STACK_BYTES holds: not without any optimization."""

    @property
    def uses_lto(self) -> bool:
        """Return whether the linker sees through the markers of the measured region."""
        return "-flto" in self.flags

    def variables(self) -> dict[str, str]:
        """Return the Make variables of this way."""
        kernels = " -DNN_KERNELS=portable" if self.portable else ""
        flags = f"{self.flags} {_SECTIONS}{kernels}"
        made = {"OPT_FLAGS": flags, "WARNING_FLAGS": _WARNINGS, **self.extra}
        if self.compiler != "arm-none-eabi-gcc":
            made["CC"] = f"{self.compiler} --target=arm-none-eabi"
        if self.cpu is not None:
            made["CPU_FLAGS"] = f"{self.cpu} -mthumb"
        return made


_M4, _M7 = "-mcpu=cortex-m4", "-mcpu=cortex-m7"
_SOFT = "-mfloat-abi=soft"
_CLANG_M55 = "-mcpu=cortex-m55+nomve -mfloat-abi=hard"
_UNOPTIMIZED = {
    "EXTRA_CFLAGS": "-DNN_OPTIMIZE_KERNELS=0",
    "EXTRA_LDFLAGS": "-Wl,--defsym=nn_stack_bytes=65536",
}


def _gcc_ways() -> Iterator[Way]:
    for core in ("m4", "m7"):
        for level in ("-O3", "-O2", "-O1", "-Os", "-Og", "-O0"):
            yield Way(f"gcc {level}", f"qemu_{core}", flags=f"-std=c11 {level}")
    m4 = "qemu_m4"
    yield Way("gcc -O0, kernels too", m4, flags="-std=c11 -O0", extra=_UNOPTIMIZED, bounded=False)
    yield Way("gcc -O3 -flto", m4, flags="-std=c11 -O3 -flto")
    yield Way("gcc C99", m4, flags="-std=c99 -pedantic -O3")
    yield Way("gcc frame pointer", m4, flags="-std=c11 -O3 -fno-omit-frame-pointer")
    yield Way("gcc -O0 frame pointer", "qemu_m7", flags="-std=c11 -O0 -fno-omit-frame-pointer")
    yield Way("gcc soft float", m4, cpu=f"{_M4} {_SOFT}")
    yield Way("gcc softfp", m4, cpu=f"{_M4} -mfpu=fpv4-sp-d16 -mfloat-abi=softfp")
    yield Way("gcc soft float", "qemu_m7", cpu=f"{_M7} {_SOFT}")
    yield Way("gcc intrinsics", m4, extra={"EXTRA_CFLAGS": "-DNN_SCHEDULED=0"})
    yield Way("gcc portable", m4, portable=True)
    for core in ("m0", "m3", "m33", "m55"):
        for level in ("-O3", "-Os", "-O0"):
            yield Way(f"gcc {level}", f"qemu_{core}", flags=f"-std=c11 {level}")
    yield Way("gcc for Cortex-M0+", "qemu_m0", cpu="-mcpu=cortex-m0plus")
    yield Way("gcc for Cortex-M23", "qemu_m33", cpu="-mcpu=cortex-m23", portable=True)
    yield Way("gcc without DSP", "qemu_m33", cpu=f"-mcpu=cortex-m33+nodsp {_SOFT}", portable=True)
    yield Way("gcc soft float", "qemu_m33", cpu=f"-mcpu=cortex-m33 {_SOFT}")
    yield Way("gcc portable", "qemu_m55", portable=True)


def _clang_ways(clang: str) -> Iterator[Way]:
    for core in ("m4", "m7"):
        for level in ("-O3", "-O1", "-Os"):
            yield Way(f"{clang} {level}", f"qemu_{core}", clang, f"-std=c11 {level}")
    yield Way(f"{clang} -O0", "qemu_m4", clang, "-std=c11 -O0", extra=_UNOPTIMIZED, bounded=False)
    yield Way(f"{clang} C99 soft float", "qemu_m4", clang, "-std=c99 -O3", f"{_M4} {_SOFT}")
    yield Way(f"{clang} -O3", "qemu_m0", clang)
    yield Way(f"{clang} -O3", "qemu_m3", clang)
    yield Way(f"{clang} -O3", "qemu_m33", clang)
    yield Way(f"{clang} -O3", "qemu_m55", clang, cpu=_CLANG_M55)


def clangs() -> list[str]:
    """Return every clang there is: the default one and others by their version."""
    found = [f"clang-{version}" for version in range(11, 30) if shutil.which(f"clang-{version}")]
    return found or (["clang"] if shutil.which("clang") else [])


WAYS: tuple[Way, ...] = (
    *_gcc_ways(),
    *(way for clang in clangs() for way in _clang_ways(clang)),
)


@dataclass(frozen=True)
class Outcome:
    """What one build of one network gave."""

    way: Way
    network: str
    exact: bool
    instructions: int | None
    """Of the densest level; None where nothing was counted."""
    code_bytes: int
    stack_bytes: int
    bound_bytes: int

    @property
    def holds(self) -> bool:
        """Return whether bits and stack are as promised."""
        return self.exact and (self.stack_bytes <= self.bound_bytes or not self.way.bounded)


def build_and_run(way: Way, network: str, folder: Path) -> Outcome:
    """Build a network in one way below ``folder``, run it at every level, compare it."""
    graph, choices = NETWORKS[network]
    made = project.write(graph, "0" * 64, resolve(way.board, **choices), folder / "p")
    built = toolchain.build(made, way.variables())
    levels = range(len(graph.levels))
    images = random_images(graph, 2, seed=3)
    right = np.stack([reference.run_one(graph, images, level) for level in levels])
    if way.uses_lto:
        answer = _run_uncounted(built, images, levels, folder)
        outputs, stack, instructions = answer.outputs[0], answer.stack_bytes, None
    else:
        result = runners.run(built, (images,), levels)
        assert result.instructions is not None and result.stack_bytes is not None
        outputs, stack = result.outputs[0], result.stack_bytes
        instructions = round(result.instructions[-1])
    found = re.search(r"_STACK_BYTES (\d+)u", (made / "library/model.h").read_text())
    assert found is not None
    exact = np.array_equal(outputs, right)
    code = built.sizes.code_bytes
    return Outcome(way, network, exact, instructions, code, stack, int(found[1]))


def _run_uncounted(
    built: Built, images: np.ndarray, levels: range, folder: Path
) -> protocol.Answer:
    """Run without the plugin, which looks for functions that the linker may have inlined."""
    protocol.write_request(folder, (images,), levels)
    command = ["qemu-system-arm", "-machine", str(built.board.qemu_machine), "-nographic"]
    command += ["-monitor", "none", "-serial", "none", "-semihosting-config"]
    command += ["enable=on,target=native", "-kernel", str(built.runner_elf)]
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return protocol.read_answer(folder, built.info, len(images), levels)
