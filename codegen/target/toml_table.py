"""Typed access to TOML with a closed schema: a mistake is told with the key and what is valid."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen.errors import UserError

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_MEANINGS = {
    "_bytes": "a whole number of bytes, as in 131_072",
    "_hz": "a whole number of Hz, as in 64_000_000",
    "_states": "a whole number of cycles",
}
HEXADECIMAL = ("address", "device_id", "set_bits")
"""Keys whose numbers are written in hexadecimal."""


def error(
    where: str, what: str, got: object, expected: object, action: str = "Correct the file"
) -> UserError:
    """Return the error of something wrong in a file of boards, chips or cores."""
    return UserError(where, what, got=got, expected=expected, action=action)


def one_of(choices: Sequence[str]) -> str:
    """Return the choices as an expectation."""
    return "one of " + ", ".join(choices)


def nearest(got: str, valid: Sequence[str]) -> str:
    """Return the one of ``valid`` most similar to ``got``; empty if none is."""
    return next(iter(difflib.get_close_matches(got, valid, 1)), "")


class Table:
    """One TOML table; :meth:`close` refuses every key nobody may write."""

    def __init__(self, where: str, data: Mapping[str, Any], folder: Path) -> None:
        """Wrap ``data``.

        Args:
            where: how errors call the table.
            data: what the TOML parser made of it.
            folder: where its file lies; files it names are relative to it.
        """
        self.where = where
        self.folder = folder
        self._data = data

    @staticmethod
    def read(path: Path) -> Table:
        """Return the whole content of a file.

        Raises:
            UserError: it cannot be read, or is not TOML.
        """
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as failed:
            got = failed.strerror or failed
            raise error(str(path), "cannot read", got, "a TOML file") from failed
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failed:
            raise error(path.name, "not valid TOML", failed, "a TOML document") from failed
        return Table(path.name, data, path.parent)

    def close(self, known: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Refuse unknown and missing keys."""
        valid = [*known, *optional]
        unknown = sorted(set(self._data) - set(valid))
        if unknown:
            close = nearest(unknown[0], valid)
            action = f"Did you mean {close}" if close else "Correct the file"
            raise error(self.where, "unknown key", unknown[0], one_of(valid), action)
        missing = [key for key in known if key not in self._data]
        if missing:
            expected = "all of " + ", ".join(known)
            raise error(self.where, "missing key", "no " + missing[0], expected)

    def has(self, key: str) -> bool:
        """Return whether ``key`` is present."""
        return key in self._data

    def value(self, key: str) -> Any:
        """Return what ``key`` holds, whatever it is."""
        return self._data[key]

    def _typed(self, key: str, check: Callable[[Any], bool], expected: str) -> Any:
        value = self._data[key]
        if not check(value):
            raise error(f"{self.where}: {key}", "wrong value", repr(value), expected)
        return value

    def text(self, key: str, choices: Sequence[str] = ()) -> str:
        """Return a non-empty string, one of ``choices`` if there are any."""
        value: str = self._typed(
            key,
            lambda v: (
                isinstance(v, str) and v.isprintable() and v != "" and (not choices or v in choices)
            ),
            one_of(choices) if choices else "printable text on one line",
        )
        return value

    def identifier(self, key: str) -> str:
        """Return a name that can be part of a file name."""
        value: str = self._typed(
            key,
            lambda v: isinstance(v, str) and ID.fullmatch(v) is not None,
            "an id: letters, digits, _ and -, as in my_chip",
        )
        return value

    def number(self, key: str, least: int = 0) -> int:
        """Return an integer that is ``least`` or more; 0 is always allowed."""
        unit = next((text for end, text in _MEANINGS.items() if key.endswith(end)), "an integer")
        bound = f", 0 or at least {least}" if least else ", 0 or more"
        value: int = self._typed(
            key, lambda v: type(v) is int and (v == 0 or v >= max(least, 0)), unit + bound
        )
        return value

    def ratio(self, key: str) -> float:
        """Return a number above 0."""
        value: float = self._typed(
            key, lambda v: type(v) in (int, float) and v > 0, "a number above 0"
        )
        return float(value)

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        value: bool = self._typed(key, lambda v: isinstance(v, bool), "true or false")
        return value

    def texts(self, key: str, choices: Sequence[str] = ()) -> tuple[str, ...]:
        """Return a list of strings, each one of ``choices`` if there are any."""
        expected = "a list of strings" + (f", each {one_of(choices)}" if choices else "")
        value: list[str] = self._typed(
            key,
            lambda v: (
                isinstance(v, list)
                and all(isinstance(item, str) and item.isprintable() for item in v)
                and (not choices or set(v) <= set(choices))
            ),
            expected,
        )
        return tuple(value)

    def table(self, key: str) -> Table:
        """Return the sub-table ``key``."""
        value = self._typed(key, lambda v: isinstance(v, dict), "a table")
        return Table(f"{self.where}: [{key}]", value, self.folder)

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return the array of tables ``key``, empty if absent."""
        if key not in self._data:
            return ()
        value = self._typed(
            key,
            lambda v: isinstance(v, list) and all(isinstance(item, dict) for item in v),
            "an array of tables",
        )
        return tuple(
            Table(f"{self.where}: [[{key}]] {index}", item, self.folder)
            for index, item in enumerate(value)
        )

    def named(self, key: str, shipped: Path, add: str) -> Table:
        """Return the table that ``key`` stands for: one written here, or that of a file it names.

        Args:
            key: its value is a table, the name of a shipped file, or the path of a file that ends
                in ``.toml``, relative to this one.
            shipped: the folder of shipped files.
            add: said where the name is unknown: how to have one of one's own.
        """
        value = self._data[key]
        if isinstance(value, dict):
            return self.table(key)
        if isinstance(value, str) and value.endswith(".toml"):
            return Table.read(self.folder / value)
        names = stems(shipped)
        if value not in names:
            expected = one_of(names) + f", the path of a TOML file, or a table [{key}]"
            close = nearest(str(value), names)
            action = f"Did you mean {close}? {add}" if close else add
            raise error(f"{self.where}: {key}", f"unknown {key}", repr(value), expected, action)
        return Table.read(shipped / f"{value}.toml")


def stems(folder: Path) -> tuple[str, ...]:
    """Return the names of the TOML files in ``folder``, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def to_toml(facts: Mapping[str, Any], table: str = "") -> str:
    """Return TOML text that reads back as ``facts``: plain values, tables, arrays of tables.

    Keys whose value is None are left out.
    """
    plain, inner = [], []
    for key, value in facts.items():
        name = f"{table}.{key}" if table else key
        if isinstance(value, Mapping):
            inner += [f"\n[{name}]\n{to_toml(value, name)}"]
        elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            inner += [f"\n[[{name}]]\n{to_toml(item, name)}" for item in value]
        elif value is not None:
            shown = f"{value:#x}" if key in HEXADECIMAL else json.dumps(value, ensure_ascii=False)
            plain.append(f"{key} = {shown}\n")
    return "".join([*plain, *inner])
