"""Tables of results at their edges."""

from __future__ import annotations

import io

from rich.console import Console

from nestnet.cli import tables


def test_a_single_class_is_mistaken_for_nothing() -> None:
    level = {"level": 0, "confusion": [[7]], "macro_f1": 1.0}
    text = io.StringIO()
    report = {"levels": [level], "class_names": ["ant"]}
    Console(file=text, width=100).print(tables.classes(report))
    assert "0 ant" in text.getvalue() and "100.0 %" in text.getvalue()
