"""The fuzz target runs, finds nothing in a few seconds, and would find what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fuzz import decoders
from tests.fuzz.decoders import CORPUS, FIRMWARE, MAX_BYTES, MAX_CORPUS_BYTES

pytestmark = pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")


def test_a_few_seconds_find_nothing(tmp_path: Path) -> None:
    program = decoders.build(tmp_path)
    result = decoders.fuzz(program, decoders.write_corpus(tmp_path), seconds=3)
    assert result.exit_code == 0, result.log[-3000:]
    assert result.executions > 1000
    edges, features = result.coverage
    assert edges > 120 and features > edges


@pytest.mark.parametrize(
    ("name", "check", "broken"),
    [
        ("nn_lz4.c", "(size_t)length + LAST_LITERALS", "(size_t)length"),
        ("nn_lz4.c", "offset - 1u >=", "offset >"),
        ("nn_deltas.c", "stored_end - stored >= 4", "stored_end - stored >= 3"),
        ("nn_deltas.c", "advance > left || out == end", "advance > left || out > end"),
        ("nn_deltas.c", "s->rows-- == 0u", "s->rows == 0u"),
        ("nn_decode.c", "position >= count", "position > count"),
    ],
)
def test_a_missing_check_is_found(tmp_path: Path, name: str, check: str, broken: str) -> None:
    for path in FIRMWARE.rglob("*.[ch]"):
        text = path.read_text(encoding="ascii")
        if path.name == name:
            assert text.count(check) == 1
            text = text.replace(check, broken)
        copy = tmp_path / path.relative_to(FIRMWARE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="ascii")
    program = decoders.build(tmp_path, tmp_path)
    result = decoders.fuzz(program, decoders.write_corpus(tmp_path), seconds=120)
    assert result.exit_code != 0, f"{name} without {check!r} went unnoticed"


def test_the_committed_inputs_are_small_and_well_formed() -> None:
    text = CORPUS.read_text(encoding="ascii")
    inputs = [bytes.fromhex(line) for line in text.split()]
    assert len(text) <= MAX_CORPUS_BYTES and len(inputs) > 50
    assert all(1 <= len(data) <= MAX_BYTES for data in inputs)
    assert {data[0] % 3 for data in inputs if len(data) > 8} == {0, 1, 2}
