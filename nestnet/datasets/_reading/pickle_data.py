"""Read a pickle as data: nothing in it is imported, called or constructed.

Python's unpickler runs whatever a file asks for. This reader walks the opcodes (decoded, not
executed, by the standard library's ``pickletools``) with a stack of its own. Where a pickle says
"call this", the result is an inert :class:`Call` record.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Call:
    """An object that a pickle wants built: which callable, its arguments, its later state."""

    function: str
    """Module and name, as in "numpy dtype"."""
    arguments: Any = ()
    state: Any = None


class UnreadablePickle(ValueError):
    """The bytes are not a pickle, are cut short, or use an opcode that plain data does not need."""


class _Mark:
    """Where a tuple, list or dict being built starts on the stack."""


_VALUES = frozenset({
    "BINSTRING", "BINUNICODE", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "INT",
    "LONG", "SHORT_BINSTRING", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BINUNICODE8", "STRING", "UNICODE", "FLOAT",
})  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUT = frozenset({"BINPUT", "LONG_BINPUT", "PUT"})
_GET = frozenset({"BINGET", "LONG_BINGET", "GET"})


def as_bytes(value: Any) -> bytes | None:
    """Return a string in any of the forms that pickle protocols give it, or None for others.

    Python 2's byte strings arrive as str with one character per byte; Python 3 writes bytes in
    protocols below 3 as a call of ``_codecs.encode(text, "latin1")``.
    """
    if isinstance(value, Call) and value.function == "_codecs encode" and value.arguments:
        value = value.arguments[0]
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1") if isinstance(value, str) else None
    except UnicodeEncodeError:
        return None


def read(content: bytes) -> Any:
    """Return what ``content`` describes, with :class:`Call` records in the place of objects.

    Keys of dictionaries are integers or bytes; for strings elsewhere see :func:`as_bytes`.

    Raises:
        UnreadablePickle: see there.
    """
    reader = _Reader()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return reader.stack.pop()
            reader.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadablePickle(str(error).splitlines()[0] if str(error) else "damaged") from error
    raise UnreadablePickle("no end")


class _Reader:
    """The stack and memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Apply one opcode."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _PUT:
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in _GET:
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME"):
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        """Apply an opcode that makes or fills a container or a record."""
        stack = self.stack
        if name == "MARK":
            stack.append(_Mark())
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif name in _SHORT_TUPLES:
            count = _SHORT_TUPLES[name]
            items = tuple(stack[-count:])
            del stack[-count:]
            stack.append(items)
        elif name in ("APPEND", "APPENDS"):
            items_to_add = [stack.pop()] if name == "APPEND" else self._to_mark()
            _expect(stack[-1], list).extend(items_to_add)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._to_mark()
            self._fill(_expect(stack[-1], dict), pairs)
        elif name == "GLOBAL":
            stack.append(Call(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(Call(f"{module} {attribute}"))
        elif name == "REDUCE":
            arguments, function = stack.pop(), _expect(stack.pop(), Call)
            stack.append(Call(function.function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _expect(stack[-1], Call).state = state
        else:
            raise UnreadablePickle(f"opcode {name}")

    def _to_mark(self) -> list[Any]:
        """Pop and return everything above the last mark."""
        for position in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[position], _Mark):
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise UnreadablePickle("no mark")

    @staticmethod
    def _fill(target: dict[Any, Any], pairs: list[Any]) -> None:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            plain = key if isinstance(key, int) else as_bytes(key)
            if plain is None:
                raise UnreadablePickle(f"key of type {type(key).__name__}")
            target[plain] = value


def _expect(value: Any, kind: type) -> Any:
    """Return ``value`` if it is of ``kind``."""
    if not isinstance(value, kind):
        raise UnreadablePickle(f"{type(value).__name__} where {kind.__name__} was needed")
    return value
