"""Records are stored by their type hints, whichever way those spell an array."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pytest
import typing_extensions

from codegen.graph import serialize

Scalar = TypeVar("Scalar", bound=np.generic)
Shape = TypeVar("Shape", bound=tuple[int, ...])

ALIAS_TYPES = {typing_extensions.TypeAliasType, getattr(typing, "TypeAliasType", None)} - {None}
"""What a ``type`` statement makes; from Python 3.12 on these are one."""


def assigned() -> Any:
    """Return NDArray as NumPy had it up to 2.4: a name for a generic alias."""
    return np.ndarray[Any, np.dtype[Scalar]]


def stated(alias_type: Any) -> Any:
    """Return NDArray as NumPy has it since 2.5: an alias of its own type."""
    return alias_type("NDArray", np.ndarray[Any, np.dtype[Scalar]], type_params=(Scalar,))


def turned(alias_type: Any) -> Any:
    """Return an alias of an alias whose parameters come in another order."""
    array = alias_type("Array", np.ndarray[Shape, np.dtype[Scalar]], type_params=(Scalar, Shape))
    return alias_type("NDArray", array[Scalar, tuple[int, ...]], type_params=(Scalar,))


def record_type(array: Any, alias_type: Any = None) -> type:
    """Return a dataclass of arrays, the last two perhaps absent."""

    @dataclass(frozen=True)
    class Arrays:
        weight: Any
        many: Any
        bias: Any
        shift: Any

    bias = array[np.int32] | None
    if alias_type is not None:
        bias = alias_type("Bias", bias)
    hints = {
        "weight": array[np.int8],
        "many": tuple[array[np.uint16], ...],
        "bias": bias,
        "shift": array[np.int16] | None,
    }
    Arrays.__annotations__ = hints
    return Arrays


SPELLINGS = [
    pytest.param(record_type(assigned()), id="assigned"),
    pytest.param(record_type(np.typing.NDArray), id="numpy"),
]
for number, kind in enumerate(sorted(ALIAS_TYPES, key=lambda kind: str(kind.__module__))):
    SPELLINGS += [
        pytest.param(record_type(stated(kind), kind), id=f"stated-{number}"),
        pytest.param(record_type(turned(kind), kind), id=f"turned-{number}"),
    ]


@pytest.mark.parametrize("arrays", SPELLINGS)
def test_an_array_is_stored_and_read_however_its_type_is_spelled(arrays: type) -> None:
    weight = np.arange(7, dtype=np.int8)
    many = (np.arange(3, dtype=np.uint16), np.arange(5, dtype=np.uint16))
    bias = np.arange(2, dtype=np.int32)
    encoded, tensors = serialize.encode(arrays(weight, many, bias, None))
    assert set(tensors) == {"weight", "many.0", "many.1", "bias"}
    again = serialize.decode(arrays, encoded, dict(tensors))
    assert np.array_equal(again.weight, weight) and np.array_equal(again.bias, bias)
    assert [part.tolist() for part in again.many] == [part.tolist() for part in many]
    assert again.shift is None


@pytest.mark.parametrize("arrays", SPELLINGS)
def test_an_array_of_another_type_is_refused(arrays: type) -> None:
    many = (np.arange(3, dtype=np.uint16),)
    encoded, tensors = serialize.encode(arrays(np.arange(7, dtype=np.int16), many, None, None))
    with pytest.raises(serialize.RecordError, match="weight: got int16, expected int8"):
        serialize.decode(arrays, encoded, tensors)
