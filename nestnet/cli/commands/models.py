"""``nestnet models``: list the shipped models."""

from __future__ import annotations

from nestnet.cli import outputs, tables
from nestnet.cli.options import JsonOption


def command(json_path: JsonOption = None) -> None:
    """List the shipped models."""
    from nestnet import models as shipped  # imports torch

    rows = [(name, shipped.describe(name)) for name in shipped.names()]
    tables.console().print(tables.names("Models", rows, ("name", "what it is")))
    print("Your own: --model path/to/file.py:factory, called as factory(input_shape, classes)")
    outputs.write_json(json_path, dict(rows))
