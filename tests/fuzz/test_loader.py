"""A few hundred changed .nestnet files raise nothing but UserError; what does would be found."""

from __future__ import annotations

import random

import pytest

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import serialize
from tests.fuzz.loader import CORPUS, MAX_CORPUS_BYTES, Found, fuzz_by_outcome, read_corpus, try_one
from tests.fuzz.loader_target import (
    MAX_BYTES,
    Outcome,
    changed,
    put_together,
    sealed,
    seeds,
    take_apart,
)

SEEDS = seeds()


def test_the_seeds_go_all_the_way() -> None:
    found = Found()
    for data in SEEDS:
        assert len(data) <= MAX_BYTES and sealed(data) == data
        assert try_one(data, found) is Outcome.LOWERED
    assert not found.failures


def test_the_committed_inputs_find_nothing() -> None:
    assert CORPUS.stat().st_size <= MAX_CORPUS_BYTES
    inputs = read_corpus()
    found = Found()
    for data in inputs:
        try_one(data, found)
    assert not found.failures
    assert len(inputs) > 20 and len(found.outcomes) > 1


def test_changed_inputs_find_nothing() -> None:
    found = fuzz_by_outcome(seed=3, executions=150)
    assert not found.failures
    assert found.outcomes[Outcome.REFUSED] > 50 and found.outcomes[Outcome.LOWERED] > 10


def test_changes_keep_the_hash_right() -> None:
    generator = random.Random(5)
    inputs = [changed(generator.choice(SEEDS[1:]), generator) for _ in range(60)]
    assert sum(sealed(data) == data for data in inputs) > 40
    assert sum(take_apart(data) is not None for data in inputs) > 40
    for data in inputs:
        with pytest.raises(UserError, match="damaged"):
            nestfile.from_bytes(data + b"\0", "changed")


def test_a_missing_verifier_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nestfile, "verify", lambda graph, after: graph)
    generator = random.Random(1)
    found = Found()
    while not found.failures:
        assert found.executions < 300, "went unnoticed"
        try_one(changed(generator.choice(SEEDS[1:]), generator), found)


@pytest.mark.parametrize(
    ("check", "absent", "value"),
    [
        ("INT64", 10**500, 10**400),
        ("_is_text", lambda text: True, "\ud800"),
    ],
)
def test_a_missing_check_is_found(
    check: str, absent: object, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = take_apart(SEEDS[1])
    assert parts is not None
    level = parts.document["graph"]["levels"][0]
    level["sparsity" if isinstance(value, int) else "name"] = value
    found = Found()
    assert try_one(put_together(parts), found) is Outcome.REFUSED
    monkeypatch.setattr(serialize, check, absent)
    assert try_one(put_together(parts), found) is None and found.failures
