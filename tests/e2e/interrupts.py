"""Levels chosen by an interrupt while a network runs on the emulated Cortex-M4.

``make interrupt RUNS=20000`` (``python -m tests.e2e.interrupts``) is the long version of
test_interrupts.py: every output must be that of the level its run began with. The moments are
pseudo-random and, by QEMU's instruction counter, the same each time.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.emit import project
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.synthetic import random_images
from codegen.target import boards, manifest, toolchain
from codegen.target.target import Choices, resolve
from tests.support.firmware.rig import run_checked

BOARD = "qemu_m4"
CODINGS = {
    "raw": Choices(optimize="balanced", codecs="raw", decode="inference"),
    "inference": Choices(optimize="size", codecs="all", decode="inference"),
    "level": Choices(optimize="size", codecs="all", decode="level"),
}
"""How the weights lie; the last two decode before each layer, and after a change of level."""

_IMAGES = 4
_NANOSECONDS = 5
"""An instruction takes 2^5 ns of the emulated clock, about one tick of its 25 MHz."""
_COUNTS = re.compile(r"(\d+) runs, (\d+) changed, (\d+) wrong, (\d+) of no level")


@dataclass(frozen=True)
class Outcome:
    """What the runs under interrupts gave."""

    runs: int
    changed: int
    """Runs in which another level was chosen."""
    wrong: int
    """Outputs that are not those of the run's own level."""
    of_no_level: int


def mixed_graph() -> Graph:
    """Return a network of three levels with every kernel that reads a table of its level."""
    net = GraphBuilder((7, 11, 5), 3, 91, "mixed")
    stem = net.conv("input", 8, (3, 3), padding=(1, 1, 1, 1))
    body = net.conv(
        stem, 8, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.3, 0.7), residual=stem
    )
    depthwise = net.conv(body, 8, (3, 3), padding=(1, 1, 1, 1), groups=8)
    total = net.add(depthwise, body)
    narrow = net.conv(total, 13, (3, 5), stride=(2, 2), group=2, densities=(0.1, 0.3, 0.8))
    single = net.conv(narrow, 11, (1, 1), group=1, densities=(0.2, 0.4, 0.9))
    pooled = net.pool(single, AvgPool, (2, 2), (1, 1))
    net.linear(pooled, 7, group=4, densities=(0.2, 0.5, 1.0))
    return net.graph()


def run(
    folder: Path, coding: str, runs: int, seed: int = 1, edit: Callable[[str], str] = lambda c: c
) -> Outcome:
    """Build and run :func:`mixed_graph` below ``folder``; ``edit`` may change model.c."""
    graph = mixed_graph()
    made = project.write(graph, "0" * 64, resolve(BOARD, **CODINGS[coding]), folder / coding)
    (made / "library/model.c").write_text(edit((made / "library/model.c").read_text()))
    built = toolchain.build(made)
    elf = _link(made, built.info, runs, seed)
    images = random_images(graph, _IMAGES, seed=seed)
    (folder / "images.bin").write_bytes(images.tobytes())
    machine = str(boards.load(BOARD).qemu_machine)
    command = ["qemu-system-arm", "-machine", machine, "-nographic", "-monitor", "none"]
    command += ["-serial", "none", "-icount", f"shift={_NANOSECONDS},sleep=off"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    counts = _COUNTS.search(done.stdout + done.stderr)
    assert counts is not None, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    _check_expected(graph, images, (folder / "expected.bin").read_bytes())
    return Outcome(*(int(number) for number in counts.groups()))


def _link(made: Path, info: manifest.ProjectInfo, runs: int, seed: int) -> Path:
    """Link interrupt.c instead of the test runner; return the program."""
    chip = boards.load(BOARD).chip
    defines = {
        "MODEL": f"nn_model_{info.network}",
        "ARENA_BYTES": info.arena_bytes,
        "INPUT_BYTES": info.inputs[0].size_bytes,
        "OUTPUT_BYTES": info.output_bytes,
        "LEVELS": len(info.levels),
        "RUNS": f"{runs}u",
        "SEED": f"{seed}u",
    }
    command = ["arm-none-eabi-gcc", *chip.compile_flags, "-std=c11", "-O2", "-Wall"]
    command += ["-Wextra", "-Werror", "-Ilibrary", "-Irig/port"]
    command += [f"-D{name}={value}" for name, value in defines.items()]
    command += [str(Path(__file__).with_name("interrupt.c"))]
    command += [f"build/rig/port/{name}.o" for name in ("nn_port_semihosting", "nn_mark")]
    command += ["build/rig/startup/nn_startup.o", "build/libnestnet_model.a"]
    command += ["-nostartfiles", "-T", "rig/linker.ld", "-o", "build/interrupt.elf"]
    run_checked(command, made)
    return made / "build/interrupt.elf"


def _check_expected(graph: Graph, images: np.ndarray, written: bytes) -> None:
    """Fail unless the undisturbed outputs are the reference's and each level has its own."""
    levels = range(len(graph.levels))
    right = np.stack([reference.run_one(graph, images, level) for level in levels], axis=1)
    assert np.array_equal(np.frombuffer(written, np.int8), right.reshape(-1))
    for image, (low, high) in itertools.product(right, itertools.combinations(levels, 2)):
        assert not np.array_equal(image[low], image[high]), "levels look alike: nothing is tested"


def main() -> int:
    """Run every coding; return 1 if an output was not its level's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20000, help="inferences per coding")
    parser.add_argument("--seed", type=int, default=1, help="of the moments, levels and images")
    arguments = parser.parse_args()
    wrong = 0
    for coding in CODINGS:
        with tempfile.TemporaryDirectory() as name:
            outcome = run(Path(name), coding, arguments.runs, arguments.seed)
        print(f"{coding}: {outcome}", flush=True)
        wrong += outcome.wrong
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
