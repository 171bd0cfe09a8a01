"""Files of older versions load: the same graph, the same bits."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import migrate, reference
from codegen.graph.ir import SCHEMA_VERSION, Graph
from codegen.graph.serialize import RecordError, encode
from tests.support import format_page

OLD = Path(__file__).with_name("old_files")
VERSIONS = range(1, SCHEMA_VERSION)
ADDED: tuple[tuple[int, str, Callable[[dict[str, Any]], dict[str, Any]]], ...] = (
    (5, "AvgPool", lambda op: {"counted": op["padding"]}),
    (7, "Add", lambda op: {"constant": None}),
    (7, "Mul", lambda op: {"constant": None}),
    (7, "Softmax", lambda op: {"gain": [256, 256]}),
)
"""What a version adds to an operator."""


def brought_up(op: dict[str, Any], version: int) -> dict[str, Any]:
    """Return an operator that ``version`` stored as the newest one stores it."""
    for later, kind, added in ADDED:
        op = op | (added(op) if version < later and op["type"] == kind else {})
    return op


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def old_file(version: int) -> tuple[bytes, np.ndarray, list[np.ndarray]]:
    """Return a file that version wrote, images, and the outputs its reference gave per level."""
    stored = json.loads((OLD / f"version_{version}.json").read_text())
    images = np.frombuffer(decoded(stored["images"]), np.int8).reshape(31, 5, 7, 3)
    outputs = [np.frombuffer(decoded(text), np.int8) for text in stored["outputs"]]
    return zlib.decompress(decoded(stored["file"])), images, outputs


def loaded(version: int) -> Graph:
    return nestfile.from_bytes(old_file(version)[0], "old")


@pytest.mark.parametrize("version", VERSIONS)
def test_old_files_compute_the_same_bits(version: int) -> None:
    data, images, outputs = old_file(version)
    assert format_page.read_nestnet(data).document["schema_version"] == version
    graph = loaded(version)
    assert len(outputs) == len(graph.levels) == 2
    for level, expected in enumerate(outputs):
        got = reference.run_one(graph, images, level)
        assert np.array_equal(got.reshape(-1), expected) and len(np.unique(got)) > 10


@pytest.mark.parametrize("version", VERSIONS)
def test_old_files_hold_the_same_graph(version: int) -> None:
    """What the page's decoder reads in the file is what the graph stores now, save the edges."""
    found = format_page.read_nestnet(old_file(version)[0])
    old = found.document["graph"]
    record, tensors = encode(loaded(version))
    assert set(tensors) == set(found.tensors)
    assert all(np.array_equal(tensors[name], found.tensors[name]) for name in tensors)
    assert record["task"] is None and ("task" in old) == (version > 5)
    for key in ("name", "levels"):
        assert record[key] == old[key]
    assert record["ops"] == [brought_up(op, version) for op in old["ops"]]
    if version < 4:
        sources = [value.pop("source") for value in record["values"]]
        assert sources == [None] * len(old["values"])
    if version < 3:
        meanings = [value.pop("meaning") for value in record["values"]]
        assert meanings == ["pixels", *["plain"] * (len(meanings) - 2), "class_scores"]
    assert record["values"] == old["values"]
    edges = ("inputs", "outputs") if version > 2 else ("input", "output")
    wanted = [old[edge] if version > 2 else [old[edge]] for edge in edges]
    assert [record["inputs"], record["outputs"]] == wanted
    budget = {"flash_budget_bytes": None, "codecs": None} if version == 1 else {}
    assert record["provenance"] == old["provenance"] | budget


@pytest.mark.parametrize("version", VERSIONS)
def test_a_migrated_file_is_saved_as_the_newest_version(version: int) -> None:
    graph = loaded(version)
    data = nestfile.to_bytes(graph)
    assert format_page.read_nestnet(data).document["schema_version"] == SCHEMA_VERSION
    assert nestfile.to_bytes(nestfile.from_bytes(data, "new")) == data


def old_record(version: int) -> dict[str, Any]:
    record: dict[str, Any] = format_page.read_nestnet(old_file(version)[0]).document["graph"]
    return record


def test_only_names_tell_class_scores() -> None:
    record = old_record(2)
    record["provenance"]["class_names"] = []
    assert migrate.migrated(record, 2)["values"][-1]["meaning"] == "plain"
    record = old_record(2)
    record["values"][-1]["shape"] = [3, 1, 2]
    assert migrate.migrated(record, 2)["values"][-1]["meaning"] == "map"


@pytest.mark.parametrize("version", VERSIONS)
def test_migration_changes_no_record_and_leaves_the_newest_alone(version: int) -> None:
    record = old_record(version)
    before = copy.deepcopy(record)
    newest = migrate.migrated(record, version)
    assert record == before and newest != before
    assert migrate.migrated(newest, SCHEMA_VERSION) is newest
    assert len(migrate.STEPS) == SCHEMA_VERSION - 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrong", [None, 3, [], {}, {"provenance": []}, {"provenance": {}}])
def test_what_is_no_old_graph_is_refused(version: int, wrong: object) -> None:
    with pytest.raises(RecordError):
        migrate.migrated(wrong, version)


@pytest.mark.parametrize("key", ["input", "output", "values", "provenance", "ops", "name"])
def test_an_old_file_that_lacks_something_is_damaged(key: str) -> None:
    record = old_record(2)
    del record[key]
    with pytest.raises((RecordError, UserError)):
        nestfile.decode(Graph, migrate.migrated(record, 2), {})
