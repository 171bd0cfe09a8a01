"""Build two networks by every compiler, flag and core: bits, instructions, code and stack.

Networks and ways are those of tests/e2e/compilers.py, whose test takes a sample of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.common.markdown import table
from tests.e2e.compilers import NETWORKS, WAYS, Outcome, build_and_run, clangs

COST = "minutes"
TOOLS = ("arm-none-eabi-gcc", *clangs(), "qemu-system-arm")
SEEDS = (3, 77, 91)
"""Of the images, and of the weights of both networks."""


def row(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data; without a bound, where the way has none."""
    return {
        "board": outcome.way.board,
        "build": outcome.way.name,
        "network": outcome.network,
        "exact": outcome.exact,
        "instructions": outcome.instructions,
        "code_bytes": outcome.code_bytes,
        "stack_bytes": outcome.stack_bytes,
        "bound_bytes": outcome.bound_bytes if outcome.way.bounded else None,
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Build and run every network in every way; yield what is done."""
    rows = []
    for way in WAYS:
        for network in NETWORKS:
            with tempfile.TemporaryDirectory() as name:
                rows.append(row(build_and_run(way, network, Path(name))))
            print(rows[-1], flush=True)
        yield {"rows": rows}


def page(findings: Mapping[str, Any]) -> str:
    """Return the table."""
    rows = findings["rows"]
    lines = []
    for found in rows:
        count, bound = found["instructions"], found["bound_bytes"]
        cells = [found["board"], found["build"], found["network"]]
        cells += ["yes" if found["exact"] else "NO", "-" if count is None else f"{count:,}"]
        cells += [f"{found['code_bytes']:,}", found["stack_bytes"]]
        lines.append([*cells, "none" if bound is None else bound])
    heads = ["board", "build", "network", "same bits", "instructions", "code", "stack", "bound"]
    return f"""# Compilers, flags and cores

Two networks of `tests/e2e/compilers.py`, random weights, 2 images at 3 levels: `mixed` has every
kernel with tables, `coded` every group size, streams coded (`--decode level`). Bits are compared
with the integer reference. Instructions: densest level, per inference, executed on the emulated
core. Stack: the deepest seen, beside `NN_*_STACK_BYTES`.

{sum(found["exact"] for found in rows)} of {len(rows)} builds are bit-exact.

{table(heads, lines)}
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the builds that give other bits or take more stack than promised."""
    return [
        f"{row['board']} {row['build']} {row['network']}: {row}"
        for row in findings["rows"]
        if not row["exact"] or row["stack_bytes"] > (row["bound_bytes"] or row["stack_bytes"])
    ]
