"""Instructions, flash, RAM and stack of a fixed set of networks, kept in budgets.toml.

``make budgets`` (``python -m tests.e2e.budgets``) measures and rewrites the file;
tests/e2e/test_budgets.py fails when a figure has grown by more than :data:`TOLERANCE`. The networks
have random weights, seed 0.
"""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from codegen.emit import project
from codegen.graph import file as nestfile
from codegen.graph.ir import Graph
from codegen.graph.synthetic import random_inputs
from codegen.target import runners, toolchain
from codegen.target.target import resolve
from nestnet.preview.untrained import untrained, write_untrained

FILE = Path(__file__).with_name("budgets.toml")
TOLERANCE = 0.03
BOARDS = ("qemu_m4", "qemu_m7")
NETWORKS: dict[str, tuple[str, tuple[float, ...]]] = {
    "digits_cnn": ("digits_cnn", (0.9, 0.8, 0.7, 0.5)),
    "resnet8_dense": ("resnet8", (0.0,)),
    "resnet8": ("resnet8", (0.9, 0.8, 0.7, 0.5)),
    "mobilenetv1_025": ("mobilenetv1@0.25", (0.9, 0.8, 0.7, 0.5)),
    "ds_cnn_dense": ("ds_cnn", (0.0,)),
    "mobilenetv1_96_dense": ("mobilenetv1_96", (0.0,)),
}
"""Name in the file to model and sparsities."""

HEADER = """\
# What the networks of tests/e2e/budgets.py cost: a test fails when a figure grows by more than 3 %.
# Written by `make budgets`; executed instructions per inference and level, sparsest first, on the
# emulated cores; bytes of code without weights, of all weights, of the arena, of the deepest stack.
"""

Figures = Mapping[str, int]
"""Name of a figure to its value."""


@cache
def graph_of(network: str) -> Graph:
    """Return a network with random weights, the same for both boards: tracing it takes seconds."""
    model, sparsity = NETWORKS[network]
    return untrained(model, sparsity=sparsity)


def measure(network: str, board_id: str, folder: Path) -> dict[str, int]:
    """Build ``network`` for ``board_id`` below ``folder`` and return its figures."""
    torch.set_num_threads(1)
    graph = graph_of(network)
    path = write_untrained(graph, folder)
    made = project.write(
        graph, nestfile.file_sha256(path), resolve(board_id), folder / f"{network}-{board_id}"
    )
    built = toolchain.build(made)
    result = runners.run(built, random_inputs(graph, 1, 0), range(len(graph.levels)))
    assert result.instructions is not None and result.stack_bytes is not None
    instructions = {
        f"instructions_{round(100 * level.sparsity)}": round(count)
        for level, count in zip(graph.levels, result.instructions, strict=True)
    }
    return instructions | {
        "code_bytes": built.sizes.code_bytes,
        "weights_bytes": built.sizes.weights_bytes,
        "arena_bytes": built.sizes.arena_bytes,
        "stack_bytes": result.stack_bytes,
    }


def compiler() -> str:
    """Return the version of the cross compiler, on which every figure depends."""
    command = [toolchain.find("arm-none-eabi-gcc"), "-dumpfullversion"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Budgets:
    """Content of budgets.toml."""

    compiler: str
    networks: dict[str, dict[str, dict[str, int]]]
    """Network, board, figure."""


def read() -> Budgets:
    """Return the content of budgets.toml."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return Budgets(data.pop("arm_none_eabi_gcc"), data)


def too_large(budget: Figures, figures: Figures) -> list[str]:
    """Return the figures that have grown by more than the tolerance, appeared or disappeared."""
    grown = [
        name
        for name in figures
        if name in budget and figures[name] > budget[name] * (1.0 + TOLERANCE)
    ]
    return grown + sorted(set(budget) ^ set(figures))


def diff(budget: Figures, figures: Figures) -> str:
    """Return a table of all figures, the budget beside what was measured."""
    rows = [f"{'figure':<18}{'budget':>12}{'now':>12}{'change':>10}"]
    for name in {**budget, **figures}:
        old, new = budget.get(name), figures.get(name)
        change = "" if not old or new is None else f"{100 * (new - old) / old:+.1f} %"
        cells = ("-" if value is None else str(value) for value in (old, new))
        rows.append(f"{name:<18}" + "".join(f"{cell:>12}" for cell in cells) + f"{change:>10}")
    return "\n".join(rows)


def as_toml(budgets: Budgets) -> str:
    """Return the text of budgets.toml."""
    parts = [HEADER, f'arm_none_eabi_gcc = "{budgets.compiler}"\n']
    for network, boards in budgets.networks.items():
        for board_id, figures in boards.items():
            lines = "".join(f"{name} = {value}\n" for name, value in figures.items())
            parts.append(f"[{network}.{board_id}]\n{lines}")
    return "\n".join(parts)


def main() -> None:
    """Measure everything, show what changed and rewrite budgets.toml."""
    old = read().networks if FILE.is_file() else {}
    new: dict[str, dict[str, dict[str, int]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for network in NETWORKS:
            for board_id in BOARDS:
                figures = measure(network, board_id, Path(name))
                new.setdefault(network, {})[board_id] = figures
                print(f"{network} on {board_id}")
                print(diff(old.get(network, {}).get(board_id, {}), figures), flush=True)
    FILE.write_text(as_toml(Budgets(compiler(), new)), encoding="utf-8")


if __name__ == "__main__":
    main()
