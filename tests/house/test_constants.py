"""Constants that two languages or two packages have to state agree."""

from __future__ import annotations

import re

import pytest

from codegen.emit import render
from codegen.formats import nested
from codegen.graph import ir
from codegen.graph.builder import INPUT_SCALE
from codegen.lower.plan_memory import ALIGN_BYTES
from nestnet.pixels import Pixels
from tests.support.sources import ROOT

FIRMWARE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "firmware").rglob("*.[ch]"))
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NN_MAX_LEVELS", ir.MAX_LEVELS),
        ("NN_ARENA_ALIGN_BYTES", ALIGN_BYTES),
        ("NN_RUNTIME_VERSION", render.RUNTIME_VERSION),
        ("MAX_ADVANCE", nested.MAX_ADVANCE),
        ("LAST", nested.LAST),
    ],
)
def test_c_defines_what_python_says(name: str, value: int) -> None:
    defined = re.findall(rf"#define {name} +(\w+)", FIRMWARE)
    assert defined and {int(text.rstrip("u"), 0) for text in defined} == {value}


def test_a_network_sees_pixels_as_the_builder_scales_them() -> None:
    assert Pixels().scale == INPUT_SCALE
