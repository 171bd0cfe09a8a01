"""Print results as tables; no figure is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

MOST_CLASSES = 16
"""Classes up to which a table shows how often each is taken for each."""
SCORES = (
    "{} float: of the whole test set, before the quantization-aware epochs, if any; "
    "reference and device: int8, of these images"
)
"""What the columns of :func:`device_levels` mean."""
MIN_WIDTH = 140
"""Columns assumed where the output is a file or a pipe, so that no table is cut."""


def console(*, stderr: bool = False) -> Console:
    """Return a console wide enough for tables even where there is no terminal."""
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=MIN_WIDTH)


def working(what: str) -> AbstractContextManager[object]:
    """Show on a terminal that ``what`` is going on, while the block runs."""
    return console(stderr=True).status(what)


def percent(share: float | None) -> str:
    """Return 0.876 as "87.6 %"; None as "-"."""
    return "-" if share is None else f"{100 * share:.1f} %"


def count(value: int | None) -> str:
    """Return 1234567 as "1 234 567"; None as "-"."""
    return "-" if value is None else f"{value:,}".replace(",", " ")


def yes_no(value: bool) -> str:
    """Return "yes" or a red "NO"."""
    return "[green]yes[/]" if value else "[bold red]NO[/]"


def names(title: str, rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Group:
    """Return a plain table of text."""
    table = Table()
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return _titled(title, table)


def device_levels(
    title: str, boards: Mapping[str, Mapping[str, Any]], metric: str = "accuracy"
) -> Group:
    """Return the table of what every level did on every board.

    Args:
        title: names the network and the data.
        boards: board name -> ``{"levels": [...]}`` as in the demo's report.json.
        metric: what the task's score is called.
    """
    table = Table()
    for column in ("board", "level", "sparsity"):
        table.add_column(column, justify="left" if column == "board" else "right")
    for column in ("float", "reference", "device"):
        table.add_column(f"{metric}\n{column}", justify="right")
    for column in ("bit-exact", "images", "equal\nanswers", "instructions"):
        table.add_column(column, justify="right")
    for column in ("flash\nbytes", "RAM\nbytes"):
        table.add_column(column, justify="right")
    for board, result in boards.items():
        for level in result["levels"]:
            table.add_row(
                board,
                str(level["level"]),
                percent(level["sparsity"]),
                percent(level["accuracy_float"]),
                percent(level["accuracy_reference"]),
                percent(level["accuracy_device"]),
                yes_no(level["bit_exact"]),
                count(level["images"]),
                count(level["equal_answers"]),
                count(level["instructions"]),
                count(level["flash_bytes"]),
                count(level["ram_bytes"]),
            )
        table.add_section()
    return Group(_titled(title, table), Text(SCORES.format(metric)))


def classes(report: Mapping[str, Any]) -> Group:
    """Return the table of every class: accuracy at each level, and what images are taken for.

    Args:
        report: what `nestnet run` knows, as plain data; its levels have a confusion.
    """
    levels = report["levels"]
    last = levels[-1]["confusion"]
    table = Table()
    table.add_column("class")
    table.add_column("images", justify="right")
    for level in levels:
        table.add_column(f"level {level['level']}", justify="right")
    shown = range(len(last)) if len(last) <= MOST_CLASSES else ()
    for column in shown:
        table.add_column(f"as {column}", justify="right")
    table.add_column("most mistaken for")
    names = report["class_names"]

    for index, row in enumerate(last):
        images = sum(row)
        found = [level["confusion"][index][index] for level in levels]
        others = [other for other in range(len(row)) if other != index]
        wrong = max(others, key=row.__getitem__, default=None)
        table.add_row(
            Text(_class_text(index, names[index] if names else "")),
            count(images),
            *(percent(right / images if images else None) for right in found),
            *(str(row[column]) if row[column] else "." for column in shown),
            Text(
                _class_text(wrong, names[wrong] if names else "")
                if wrong is not None and row[wrong]
                else ""
            ),
        )
    means = ", ".join(percent(level["macro_f1"]) for level in levels)
    title = f"Classes; macro-F1 {means}; counts are those of level {levels[-1]['level']}"
    return _titled(title, table)


def answers(title: str, levels: Sequence[Mapping[str, Any]]) -> Group:
    """Return the table of what every level answers to one image; of a single output its value."""
    if all(len(level["classes"]) == 1 for level in levels):
        return _titled(title, _values(levels))
    table = Table()
    for column in ("level", "sparsity"):
        table.add_column(column, justify="right")
    for column in ("class", "share", "second class", "its share"):
        table.add_column(column, justify="right" if "share" in column else "left")
    for level in levels:
        first, second = (*level["classes"], None)[:2]
        table.add_row(
            str(level["level"]),
            percent(level["sparsity"]),
            Text(_class_text(first["class"], first["name"])),
            percent(first["share"]),
            Text(_class_text(second["class"], second["name"]) if second else "-"),
            percent(second["share"] if second else None),
        )
    return _titled(title, table)


def rows_of_levels(title: str, levels: Sequence[Mapping[str, Any]]) -> Group:
    """Return the table of what every level answers to one image: numbers by name.

    Args:
        title: names the image and the network.
        levels: level, sparsity and what is answered, which may be tables of numbers by name, or
            lists of these: of them the number is shown, and the list of the densest level.
    """
    rows, below = [], []
    for level in levels:
        row: dict[str, Any] = {"level": level["level"], "sparsity": percent(level["sparsity"])}
        for key, value in level.items():
            if key not in row:
                plain = {key: len(value)} if isinstance(value, list) else {key: value}
                row |= value if isinstance(value, Mapping) else plain
        rows.append(row)
    for key, value in levels[-1].items():
        if isinstance(value, list) and value:
            below.append(_titled(f"{key} of level {levels[-1]['level']}", _of_rows(value)))
    return Group(_titled(title, _of_rows(rows)), *below)


def details(report: Mapping[str, Any]) -> Group:
    """Return what every level reaches for each class or number that the task tells apart.

    Args:
        report: what `nestnet run` knows, as plain data; its levels have rows.
    """
    levels = report["levels"]
    rows = []
    for index, first in enumerate(levels[0]["rows"]):
        (what, name), *_ = first.items()
        row: dict[str, Any] = {what: name}
        for key in list(first)[1:]:
            for level in levels:
                row[f"{key}\nlevel {level['level']}"] = level["rows"][index][key]
        rows.append(row)
    return _titled("What is told apart", _of_rows(rows))


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a column for each key of the first row."""
    table = Table()
    for key in rows[0] if rows else ():
        text = isinstance(rows[0][key], str)
        table.add_column(key, justify="left" if text else "right")
    for row in rows:
        table.add_row(*(Text(_plain(value)) for value in row.values()))
    return table


def _values(levels: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of a network's one output, which chooses no class."""
    table = Table()
    for column in ("level", "sparsity", "output", "int8"):
        table.add_column(column, justify="right")
    for level in levels:
        (only,) = level["classes"]
        table.add_row(
            str(level["level"]),
            percent(level["sparsity"]),
            f"{only['value']:.4g}",
            str(only["output"]),
        )
    return table


def _class_text(index: int, name: str) -> str:
    return str(index) if name in ("", str(index)) else f"{index} {name}"


def sizes(title: str, measured: Mapping[str, Any]) -> Group:
    """Return flash and RAM of a program, with limits where the board has them."""
    table = Table()
    table.add_column("")
    for column in ("bytes", "of", "used"):
        table.add_column(column, justify="right")
    for kind, parts in (
        ("flash", ("weights", "code")),
        ("ram", ("arena", "variables", "stack_reserve")),
    ):
        limit, used = measured[f"{kind}_limit_bytes"], measured[f"{kind}_bytes"]
        share = percent(used / limit) if limit else "-"
        label = "RAM" if kind == "ram" else kind
        table.add_row(f"[bold]{label}[/]", count(used), count(limit), share)
        for part in parts:
            table.add_row(f"  {part.replace('_', ' ')}", count(measured[f"{part}_bytes"]), "", "")
    for region in measured["regions"]:
        used, limit = region["used_bytes"], region["size_bytes"]
        table.add_row(f"in {region['name']}", count(used), count(limit), percent(used / limit))
    return _titled(title, table)


def facts(title: str, values: Mapping[str, Any]) -> Group:
    """Return what `nestnet info` knows: one row per fact, levels in a row each."""
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for index, entry in enumerate(value):
                text = ", ".join(f"{k} {_plain(v)}" for k, v in entry.items() if v is not None)
                table.add_row(f"{key}[{index}]".replace("[", r"\["), text)
        else:
            table.add_row(key, _plain(value))
    return _titled(title, table)


def _titled(title: str, table: Table) -> Group:
    """Put ``title`` on a line of its own, so that a narrow table does not break it."""
    return Group(Text(title, style="bold"), table)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return "-" if value is None else str(value)
