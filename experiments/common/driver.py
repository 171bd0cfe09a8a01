"""Run one experiment and write its result.json and page.md.

An experiment is a folder with a module run.py, which has

- a docstring, whose first line is the line of the list;
- ``COST``: how long it takes, and what it needs;
- ``TOOLS``: the programs whose versions are recorded;
- ``SEEDS``: the seeds it uses, where it has no option ``--seeds``;
- ``arguments(parser)``: adds its own options;
- ``measure(options)``: yields findings, plain data for JSON; a long experiment yields what is
  finished so far each time that something is, and continues where it was stopped;
- ``page(findings)``: the page, from findings alone;
- ``problems(findings)``: what contradicts a promise of the project;
- ``picture(findings, path)``, if its page shows one: writes picture.svg.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

from codegen.errors import UserError
from experiments.common.record import Record, command, machine, versions

HERE = Path(__file__).resolve().parents[1]
RESULT, PAGE, PICTURE = "result.json", "page.md", "picture.svg"


class Experiment(Protocol):
    """What run.py of an experiment has."""

    __doc__: str | None
    COST: str
    TOOLS: tuple[str, ...]
    SEEDS: tuple[int, ...]

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the experiment's own options."""

    def measure(self, options: argparse.Namespace) -> Any:
        """Yield findings."""

    def page(self, findings: Mapping[str, Any]) -> str:
        """Return the page without what the record says."""

    def problems(self, findings: Mapping[str, Any]) -> list[str]:
        """Return one line for each promise that is broken."""


def names() -> list[str]:
    """Return the experiments there are."""
    return sorted(path.parent.name for path in HERE.glob("*/run.py"))


def load(name: str) -> Experiment:
    """Return an experiment.

    Raises:
        UserError: there is none of this name.
    """
    if name not in names():
        raise UserError(
            "experiments",
            "no experiment of this name",
            got=name,
            expected=", ".join(names()),
            action="Run python -m experiments for what each of them shows",
        )
    return cast(Experiment, importlib.import_module(f"experiments.{name}.run"))


def listing() -> str:
    """Return a line per experiment: its name, what it measures, what it costs."""
    width = max(map(len, names()))
    lines = ["python -m experiments NAME [options]; NAME --help has the options.", ""]
    for name in names():
        experiment = load(name)
        title = (experiment.__doc__ or "").splitlines()[0]
        lines += [f"{name:{width}}  {title}", f"{'':{width}}  {experiment.COST}"]
    return "\n".join(lines)


def shared_options(name: str) -> argparse.ArgumentParser:
    """Return the options that all experiments have."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared = parser.add_argument_group("of every experiment")
    shared.add_argument("--out", type=Path, default=HERE / name, help="folder of the result")
    shared.add_argument("--date", default=datetime.date.today().isoformat())
    shared.add_argument("--machine", default=machine(), help="what the page says of it")
    shared.add_argument(
        "--page", action="store_true", help="measure nothing: write page.md from result.json"
    )
    return parser


def all_options(name: str, experiment: Experiment) -> argparse.ArgumentParser:
    """Return the options of an experiment, its own and those that all have."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments {name}",
        description=experiment.__doc__,
        epilog=experiment.COST,
        parents=[shared_options(name)],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    experiment.arguments(parser)
    return parser


def page(experiment: Experiment, result: Mapping[str, Any]) -> str:
    """Return the page of a result."""
    record = Record(**result["record"])
    return f"{experiment.page(result['findings']).rstrip()}\n\n{record.footer()}"


def read(folder: Path) -> dict[str, Any]:
    """Return the result of a folder.

    Raises:
        UserError: there is none.
    """
    path = folder / RESULT
    if not path.is_file():
        raise UserError(
            str(path),
            "no such result",
            got="--page",
            expected="a result that was measured",
            action="Run it without --page first",
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(experiment: Experiment, record: Record, findings: Any, folder: Path) -> dict[str, Any]:
    """Write result.json and page.md to a folder; return the result as it will be read."""
    text = json.dumps({"record": asdict(record), "findings": findings}, indent=1) + "\n"
    result: dict[str, Any] = json.loads(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).write_text(text, encoding="utf-8")
    show(experiment, result, folder)
    return result


def show(experiment: Experiment, result: Mapping[str, Any], folder: Path) -> None:
    """Write page.md of a result, and picture.svg where there is one."""
    (folder / PAGE).write_text(page(experiment, result), encoding="utf-8")
    if hasattr(experiment, "picture"):
        experiment.picture(result["findings"], folder / PICTURE)


def run(experiment: Experiment, options: argparse.Namespace, said: str) -> dict[str, Any]:
    """Measure, and write the result each time that there is more of it; return all of it.

    Args:
        experiment: what to measure.
        options: its options.
        said: the command that is recorded.

    Raises:
        UserError: a tool is missing, or an option asks for what there is not.
    """
    seeds = tuple(options.seeds) if "seeds" in options else experiment.SEEDS
    tools = versions(experiment.TOOLS)
    record = Record(said, seeds, options.date, options.machine, tools)
    result: dict[str, Any] = {}
    for findings in experiment.measure(options):
        result = write(experiment, record, findings, options.out)
    return result


def main(words: Sequence[str]) -> int:
    """List the experiments or run one of them; return 1 where a promise is broken."""
    if not words or words[0] in ("-h", "--help", "list"):
        print(listing())
        return 0
    name, *arguments = words
    experiment = load(name)
    options, _ = shared_options(name).parse_known_args(arguments)
    if options.page:
        result = read(options.out)
        show(experiment, result, options.out)
    else:
        options = all_options(name, experiment).parse_args(arguments)
        result = run(experiment, options, command(name, arguments))
    print(page(experiment, result))
    broken = experiment.problems(result["findings"])
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0
