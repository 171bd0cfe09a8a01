"""Take random modules from PyTorch to C, all on this computer and a tenth on emulated cores.

Each is drawn of all operators there are, and must be the same function when traced, lose by int8
what plain rounding loses, and give equal bits on every machine (tests/fuzz). What is finished is
kept in a folder, and not done again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codegen.graph.ops import OPERATORS
from experiments.common.markdown import table
from tests.fuzz.model_source import make_case
from tests.fuzz.models import WITH, boards_of, failure

COST = "some four seconds a module"
TOOLS = ("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = ()
CORES = "qemu_m4"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add which modules, and where finished ones are kept."""
    parser.add_argument("--first", type=int, default=100_000, help="seed of the first module")
    parser.add_argument("--modules", type=int, default=300, help="how many")
    parser.add_argument("--rows", type=Path, default=Path("build/modules"))


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Check module after module; yield what all that are done came to."""
    options.rows.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(options.first, options.first + options.modules):
        kept = options.rows / f"{seed}.json"
        if not kept.is_file():
            kept.write_text(json.dumps(_checked(seed)) + "\n", encoding="utf-8")
        rows.append(json.loads(kept.read_text(encoding="utf-8")))
        yield _summed(options.first, rows)


def _checked(seed: int) -> dict[str, Any]:
    """Return what became of a module."""
    case, count = make_case(seed), Counter[str]()
    boards = boards_of(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = failure(case, boards, count)
    return {
        "boards": boards,
        "levels": len(case.sparsity),
        "count": dict(count),
        "failure": "" if found is None else f"seed {seed}: {found[1].strip().splitlines()[-1]}",
    }


def _summed(first: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    total = Counter[str]()
    for row in rows:
        total.update(row["count"])
    return {
        "first": first,
        "modules": len(rows),
        "on_cores": sum(CORES in row["boards"] for row in rows),
        "nested": total["nested"],
        "with_operator": {name: total[f"{WITH}{name}"] for name in sorted(OPERATORS)},
        "failures": [row["failure"] for row in rows if row["failure"]],
    }


def page(findings: Mapping[str, Any]) -> str:
    """Return how many modules there were, and of what."""
    failures = findings["failures"]
    rows = [(name, count) for name, count in findings["with_operator"].items()]
    said = "\n".join(f"- {line}" for line in failures) if failures else "No module failed."
    return f"""# Random modules

{findings["modules"]} modules, seeds from {findings["first"]} on, were traced, nested, quantized,
exported and compiled; {findings["nested"]} have the levels that were asked for, the others too few
weights for any. All ran on this computer, {findings["on_cores"]} also on the emulated
Cortex-M4 and M7, each twice, the second time with inner values as further outputs.

{said}

Modules with each operator of the integer graph:

{table(("operator", "modules"), rows)}
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the failures."""
    return list(findings["failures"])
