"""Bring the graph of an older ``.nestnet`` file up to the newest schema, one version at a time.

Each step takes the JSON of one version and returns that of the next, without changing what it was
given. Steps are never edited: what a file of an old version means does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codegen.graph.serialize import RecordError

Record = dict[str, Any]


def migrated(record: Any, version: int) -> Any:
    """Return the JSON of a graph stored by schema ``version`` as the newest version stores it.

    Raises:
        RecordError: it is not what that version stores, as far as a step has to know.
    """
    for step in STEPS[version - 1 :]:
        record = step(_object(record, "graph"))
    return record


def _from_1(record: Record) -> Record:
    """Return the record: what version 2 added, the flash budget, may be missing there too."""
    return record


def _from_2(record: Record) -> Record:
    """Make the one input and the one output lists, and say what they are.

    Every network was fed pixels. Its output is a map where there are several positions, else class
    scores where the classes have names, else nothing is known of it. A flash budget that is not
    there is not known.
    """
    unknown = {"flash_budget_bytes": None, "codecs": None}
    provenance = unknown | _object(record.get("provenance"), "provenance")
    rest = {key: item for key, item in record.items() if key not in ("input", "output")}
    given, computed = record.get("input"), record.get("output")
    values = []
    for value in _objects(record.get("values"), "values"):
        meaning = "plain"
        if value.get("name") == given:
            meaning = "pixels"
        elif value.get("name") == computed:
            meaning = _meaning_of_output(value.get("shape"), bool(provenance.get("class_names")))
        values.append(value | {"meaning": meaning})
    edges = {"inputs": [given], "outputs": [computed]}
    return rest | edges | {"values": values, "provenance": provenance}


def _from_3(record: Record) -> Record:
    """Say of every value that it is not known what it is made of: only pixels were."""
    values = _objects(record.get("values"), "values")
    return record | {"values": [value | {"source": None} for value in values]}


def _from_4(record: Record) -> Record:
    """Let an average count all padding of its windows."""
    ops = [
        op | {"counted": op.get("padding")} if op.get("type") == "AvgPool" else op
        for op in _objects(record.get("ops"), "ops")
    ]
    return record | {"ops": ops}


def _from_5(record: Record) -> Record:
    """Name no task: the outputs told it."""
    _objects(record.get("ops"), "ops")
    return record | {"task": None}


def _from_6(record: Record) -> Record:
    """Let sums and products read two values, and all softmax make 256ths."""
    levels = record.get("levels")
    gain = [256] * len(levels) if isinstance(levels, list) else None
    added: dict[str, Record] = {
        "Add": {"constant": None},
        "Mul": {"constant": None},
        "Softmax": {"gain": gain},
    }
    ops = [op | added.get(str(op.get("type")), {}) for op in _objects(record.get("ops"), "ops")]
    return record | {"ops": ops}


def _meaning_of_output(shape: Any, has_names: bool) -> str:
    if isinstance(shape, list) and shape[:2] != [1, 1]:
        return "map"
    return "class_scores" if has_names else "plain"


STEPS: tuple[Callable[[Record], Record], ...] = (
    *(_from_1, _from_2, _from_3, _from_4, _from_5, _from_6),
)
"""The first leads from version 1 to 2, the last to the newest."""


def _object(item: Any, path: str) -> Record:
    if not isinstance(item, dict):
        raise RecordError(path, got=type(item).__name__, expected="an object")
    return item


def _objects(items: Any, path: str) -> list[Record]:
    if not isinstance(items, list):
        raise RecordError(path, got=type(items).__name__, expected="a list")
    return [_object(item, f"{path}.{index}") for index, item in enumerate(items)]
