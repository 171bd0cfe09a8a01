"""Turn frozen dataclasses into JSON and named arrays, and back, guided by their type hints.

A new field or operator in ``codegen/graph`` is stored without a change here. Decoding is strict:
missing, unknown or mistyped entries are errors that say where.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from inspect import isabstract
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]

TYPE_KEY = "type"
"""Which member of a union a JSON object is."""

TENSOR_KEY = "tensor"
"""The name of an array stored beside the JSON."""

INT64 = 2**63
"""Numbers from here on are refused, whatever they stand for."""


class RecordError(Exception):
    """Say which entry of a stored record is wrong."""

    def __init__(self, path: str, *, got: object, expected: object) -> None:
        """Keep the parts for the caller's message."""
        self.path = path
        self.got = got
        self.expected = expected
        super().__init__(f"{path}: got {got}, expected {expected}")


def encode(record: Any) -> tuple[dict[str, Any], Tensors]:
    """Return ``record`` as JSON values plus its arrays by path, e.g. ``ops.3.weight``."""
    tensors: Tensors = {}
    encoded: dict[str, Any] = _encode(record, type(record), "", tensors)
    return encoded, tensors


def decode(kind: type, encoded: Any, tensors: Tensors) -> Any:
    """Return the ``kind`` that :func:`encode` stored.

    Raises:
        RecordError: an entry is missing, unknown or of another type; an array is unused.
    """
    used: set[str] = set()
    record = _decode(encoded, kind, "", tensors, used)
    unused = sorted(set(tensors) - used)
    if unused:
        raise RecordError("tensors", got=unused[0], expected="no unused tensor")
    return record


def _join(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def _plain(hint: Any) -> Any:
    """Return what ``hint`` stands for where it is a ``type`` statement's alias, as NDArray is since
    NumPy 2.5; str for literals, whose choice is the business of verifying; any other hint as it is.

    ``typing`` and ``typing_extensions`` each have such an alias; ``__value__`` is what they share.
    """
    while hasattr(alias := get_origin(hint) or hint, "__value__"):
        given = dict(zip(alias.__type_params__, get_args(hint), strict=False))
        hint = alias.__value__
        free = getattr(hint, "__parameters__", ())
        if given and free:
            hint = hint[tuple(given[parameter] for parameter in free)]
    return str if get_origin(hint) is Literal else hint


def _is_array(hint: Any) -> bool:
    return get_origin(hint) is np.ndarray


def _array_dtype(hint: Any) -> np.dtype[Any]:
    """Return the dtype of an array's hint, ``ndarray[shape, dtype[...]]``."""
    dtype: np.dtype[Any] = np.dtype(get_args(_plain(get_args(hint)[1]))[0])
    return dtype


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, None left out, the kinds of an abstract record, or the hint.

    No member is an alias.
    """
    hint = _plain(hint)
    if get_origin(hint) in (Union, UnionType):
        return tuple(_plain(member) for member in get_args(hint) if member is not NoneType)
    return tuple(_kinds(hint)) if isabstract(hint) else (hint,)


def _kinds(abstract: type[Any]) -> Iterator[type[Any]]:
    """Yield the records that are an ``abstract`` one and are none themselves."""
    kind: type[Any]
    for kind in abstract.__subclasses__():
        if is_dataclass(kind) and not isabstract(kind):
            yield kind
        yield from _kinds(kind)


def _encode(value: Any, hint: Any, path: str, tensors: Tensors) -> Any:
    members = _members(hint)
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        tensors[path] = np.ascontiguousarray(value)
        return {TENSOR_KEY: path}
    if is_dataclass(value):
        hints = get_type_hints(type(value))
        record = {
            field.name: _encode(
                getattr(value, field.name), hints[field.name], _join(path, field.name), tensors
            )
            for field in fields(value)
        }
        if len(members) > 1:
            record[TYPE_KEY] = type(value).__name__
        return record
    if get_origin(members[0]) is tuple:
        kinds = get_args(members[0])
        if kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        return [
            _encode(item, kind, _join(path, index), tensors)
            for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
        ]
    if members[0] is bool:
        return bool(value)
    if members[0] is int:
        return operator.index(value)
    return float(value) if members[0] is float else str(value)


def _decode(value: Any, hint: Any, path: str, tensors: Tensors, used: set[str]) -> Any:
    members = _members(hint)
    if value is None and NoneType in get_args(_plain(hint)):
        return None
    if len(members) > 1:
        return _decode_union(value, members, path, tensors, used)
    kind = members[0]
    if _is_array(kind):
        return _decode_array(value, kind, path, tensors, used)
    if is_dataclass(kind):
        return _decode_dataclass(value, kind, path, tensors, used)
    if get_origin(kind) is tuple:
        return _decode_tuple(value, get_args(kind), path, tensors, used)
    if type(value) is int and not -INT64 <= value < INT64:
        raise RecordError(path, got="a larger number", expected="a number of 64 bits")
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is not kind:
        raise RecordError(path, got=_brief(value), expected=kind.__name__)
    if kind is str and not _is_text(value):
        raise RecordError(path, got=ascii(_brief(value)), expected="text that UTF-8 can hold")
    return value


def _is_text(value: str) -> bool:
    """Return whether no half of a surrogate pair stands alone, which JSON's escapes allow."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _decode_union(
    value: Any, members: tuple[Any, ...], path: str, tensors: Tensors, used: set[str]
) -> Any:
    by_name = {member.__name__: member for member in members}
    name = value.get(TYPE_KEY) if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in by_name:
        expected = f"an object with {TYPE_KEY} in {sorted(by_name)}"
        raise RecordError(path, got=_brief(value), expected=expected)
    rest = {key: item for key, item in value.items() if key != TYPE_KEY}
    return _decode_dataclass(rest, by_name[name], path, tensors, used)


def _decode_array(value: Any, kind: Any, path: str, tensors: Tensors, used: set[str]) -> Any:
    name = value.get(TENSOR_KEY) if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(name, str) or name not in tensors:
        raise RecordError(path, got=_brief(value), expected="the name of a stored tensor")
    if name in used:
        raise RecordError(path, got=name, expected="a tensor of its own")
    used.add(name)
    array = tensors[name]
    dtype = _array_dtype(kind)
    if array.dtype != dtype:
        raise RecordError(path, got=array.dtype.name, expected=dtype.name)
    array.setflags(write=False)
    return array


def _decode_dataclass(value: Any, kind: Any, path: str, tensors: Tensors, used: set[str]) -> Any:
    names = [field.name for field in fields(kind)]
    if not isinstance(value, dict) or set(value) != set(names):
        got = sorted(value) if isinstance(value, dict) else _brief(value)
        raise RecordError(path or kind.__name__, got=got, expected=f"the keys {sorted(names)}")
    hints = get_type_hints(kind)
    return kind(
        **{
            name: _decode(value[name], hints[name], _join(path, name), tensors, used)
            for name in names
        }
    )


def _decode_tuple(
    value: Any, kinds: tuple[Any, ...], path: str, tensors: Tensors, used: set[str]
) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise RecordError(path, got=_brief(value), expected="a list")
    if kinds[-1] is ...:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise RecordError(path, got=f"{len(value)} entries", expected=f"{len(kinds)}")
    return tuple(
        _decode(item, kind, _join(path, index), tensors, used)
        for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
    )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
