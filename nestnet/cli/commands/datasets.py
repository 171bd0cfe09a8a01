"""``nestnet datasets``: list the data sets."""

from __future__ import annotations

from nestnet import datasets
from nestnet.cli import outputs, tables
from nestnet.cli.options import JsonOption


def command(json_path: JsonOption = None) -> None:
    """List the data sets."""
    rows = [(name, datasets.describe(name)) for name in datasets.names()]
    tables.console().print(tables.names("Data sets", rows, ("name", "what it is")))
    outputs.write_json(json_path, dict(rows))
