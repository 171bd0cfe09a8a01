"""Take 96 known architectures from PyTorch to the emulated core: how far each goes, what blocks it.

Every network has random weights, batch norms and ranges measured on random images, and three
levels pruned by magnitude; nothing is trained. What is finished is kept in a folder and not done
again, unless a network did not get as far as it is asked to now.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codegen.errors import UserError
from experiments.architectures.catalogue import ALL, Architecture, timm_version
from experiments.architectures.stages import BOARD, IMAGES, ON_CORE, SEED, STAGES, examine
from experiments.common.markdown import table

COST = "about an hour on one core; needs timm, with torchvision and huggingface_hub"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (SEED,)
TOLERANCE = 1e-4
"""Largest difference in float, as a share of the largest output."""
SANE_DB, ROUNDING_DB = 25.0, 6.0
"""Ratio of signal to quantization noise that is enough for any network, and how far a network may
fall below its plain rounding where that is bad."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add which networks, how far, and where finished ones are kept."""
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these alone")
    parser.add_argument("--stage", choices=tuple(STAGES), default="run", help="how far to go")
    parser.add_argument(
        "--again", choices=("nothing", "blocked", "all"), default="nothing",
        help="what to do anew although it was done",
    )  # fmt: skip
    parser.add_argument("--rows", type=Path, default=Path("build/architectures"))


def chosen(names: list[str]) -> tuple[Architecture, ...]:
    """Return the architectures of these names, all for none.

    Raises:
        UserError: there is none of a name.
    """
    known = {each.name: each for each in ALL}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise UserError(
            "--only",
            "no such architecture",
            got=wrong[0],
            expected=", ".join(known),
            action="Give names of the table",
        )
    return tuple(known[name] for name in names) or ALL


def _is_done(row: Mapping[str, Any], stage: str, again: str) -> bool:
    """Return whether a row that was kept says all that is asked for now."""
    stages = ["none", *STAGES]
    stopped = bool(row["blockers"] or row["refusal"] or row["failure"])
    if again == "all" or (again == "blocked" and stopped):
        return False
    return stopped or stages.index(row["stage"]) >= stages.index(stage)


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Examine the chosen architectures; yield all rows there are each time that one is added."""
    names = chosen(options.only)
    about = {"timm": timm_version(), "board": BOARD, "images": IMAGES, "on_core": ON_CORE}
    options.rows.mkdir(parents=True, exist_ok=True)
    for count, architecture in enumerate(names, start=1):
        path = options.rows / f"{architecture.name}.json"
        row = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if row is None or not _is_done(row, options.stage, options.again):
            print(f"{count} of {len(names)}: {architecture.name}", flush=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = examine(architecture, options.stage, options.rows / architecture.name)
            path.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
            print(f"    {row['stage']}  {_rest(row)[:150]}  {row['seconds']} s", flush=True)
        paths = {each.name: options.rows / f"{each.name}.json" for each in ALL}
        found = {n: json.loads(p.read_text("utf-8")) for n, p in paths.items() if p.is_file()}
        yield about | {"rows": list(found.values())}


def _rest(row: Mapping[str, Any]) -> str:
    """Return what keeps a row from its next stage."""
    refused = row["refusal"].splitlines()[0][:160] if row["refusal"] else ""
    return row["failure"] or row["blockers"] or refused


def page(findings: Mapping[str, Any]) -> str:
    """Return the table of all rows, and how many reached which stage."""
    rows, notes = findings["rows"], {each.name: each.note for each in ALL}
    reached = Counter(row["stage"] for row in rows)
    passed = sum(row["bit_exact"] is True for row in rows)
    cells = []
    for row in rows:
        memory = [f"{row[k] / 1024:.0f}" if row[k] else "-" for k in ("flash_bytes", "ram_bytes")]
        name = f"{row['name']} ({notes[row['name']]})" if notes.get(row["name"]) else row["name"]
        sqnr = " / ".join(f"{value:.0f}" for value in row["sqnr_db"]) or "-"
        dense = "-" if row["dense_db"] is None else f"{row['dense_db']:.0f} ({row['plain_db']:.0f})"
        counts = " / ".join(f"{value / 1e6:.1f}" for value in row["instructions"]) or "-"
        cells.append([name, row["input"], f"{row['parameters'] / 1e6:.2f}", row["stage"], sqnr,
                      dense, *memory, counts, _rest(row).replace("|", "\\|") or "-"])  # fmt: skip
    heads = ["architecture", "input", "M parameters", "stage", "SQNR, dB", "dense (rounded)",
             "flash, KiB", "RAM, KiB", "M instructions", "what blocks it"]  # fmt: skip
    return f"""# Architectures

{passed} of {len(rows)} architectures run on the emulated Cortex-M4 ({findings["board"]}) with the
bits of the integer reference, at three levels. Stages reached: {_counts(reached)}.

Random weights, nothing trained: the networks of timm {findings["timm"]}, and own ones written from
their publications, at the sizes named. Batch norms and ranges are measured on
{findings["images"]} random images, levels are pruned by magnitude: to 80, 65 and 50 %, or further
where the flash of the board asks for it. {findings["on_core"]} of the images run on the core.

SQNR: power of the float outputs over that of their difference from the int8 outputs, per level;
then that of the network before it is pruned, in brackets when its weights and the result of every
layer are rounded to 8 bits and nothing else is done.

{table(heads, cells)}
"""


def _counts(reached: Counter[str]) -> str:
    order = ["none", *STAGES]
    return ", ".join(f"{name} {reached[name]}" for name in reversed(order) if reached[name])


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the networks that are wrong somewhere, not those that are refused."""
    broken = []
    for row in findings["rows"]:
        if row["failure"]:
            broken.append(f"{row['name']}: {row['failure']}")
        elif (row["difference"] or 0) > TOLERANCE:
            broken.append(f"{row['name']}: differs in float by {row['difference']:.2g}")
        elif row["dense_db"] and row["dense_db"] < min(SANE_DB, row["plain_db"] - ROUNDING_DB):
            broken.append(f"{row['name']}: int8 is {row['dense_db']} dB from float")
    return broken
