"""Install the wheel with the newest and oldest packages on every Python: what passes.

What this machine or its package index lacks is said in the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from experiments.common.markdown import table
from tests.install.environments import ENDS, pythons
from tests.install.matrix import matrix

COST = "minutes; needs a package index"
TOOLS = ()
SEEDS = ()


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what narrows the table down."""
    parser.add_argument("--python", choices=pythons(), help="this one only")
    parser.add_argument("--end", choices=ENDS, help="this one only")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Check every environment; yield those that are done."""
    rows = []
    versions = [options.python] if options.python else pythons()
    for row in matrix(versions, [options.end] if options.end else ENDS):
        rows.append(asdict(row))
        print(row, flush=True)
        yield {"rows": rows}


def page(findings: Mapping[str, Any]) -> str:
    """Return the table, one column per environment."""
    rows = findings["rows"]
    names = dict.fromkeys(name for row in rows for name in row["versions"])
    lines = [
        ["versions", *(row["end"] for row in rows)],
        ["passed", *(row["said"] for row in rows)],
        *([name, *(row["versions"].get(name, "") for row in rows)] for name in names),
    ]
    return f"""# Installation

nestnet's wheel in fresh environments, on every Python that `pyproject.toml` names, with the newest
and the oldest version that it admits of each package. The oldest is the lower end of the range or,
where a package of that age is not built for a Python, the first that is. What is checked, in each
environment:

- load, codegen, make, run: a committed network of two levels, bit for bit on this computer.
- digits: the same network on the data set it was trained on.
- pyOCD: what the runner of boards imports from it. No probe is used.
- train, quantize, export: the same module anew, eight epochs, then run on this computer.

Of torch only the CPU build that the tests are pinned to is installed, where pip finds one;
`docs/dependencies.md` says where else torch has been run.

{table(["Python", *(row["python"] for row in rows)], lines)}
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the environments in which a check failed."""
    return [f"Python {row['python']}, {row['end']}" for row in findings["rows"] if not row["fine"]]
