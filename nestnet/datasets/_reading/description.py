"""Read the TOML file that lies with data and describes it: a closed set of keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_type_hints

from codegen.errors import UserError
from nestnet.config import unknown_name
from nestnet.config_checks import is_instance, type_text

T = TypeVar("T")


def described(kind: type[T], where: str, content: bytes | None) -> T:
    """Return the dataclass ``kind`` that a TOML file says, its defaults for what it leaves out.

    Args:
        kind: a dataclass of texts, numbers and lists of them.
        where: the file, for messages.
        content: of the file; None where there is none.

    Raises:
        UserError: not TOML, an unknown key, or a value of another type.
    """
    if content is None:
        return kind()
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            where, "not a TOML file", got=error, expected="key = value lines", action="Correct it"
        ) from error
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, given in table.items():
        if key not in names:
            raise unknown_name(where, "unknown key", key, names)
        value = tuple(given) if isinstance(given, list) else given
        if not is_instance(value, hints[key]):
            raise UserError(
                f"{where}, {key}",
                "not acceptable",
                got=repr(given),
                expected=type_text(hints[key]),
                action="Change it",
            )
        values[key] = value
    return kind(**values)


def file_in(names: tuple[str, ...], name: str) -> str | None:
    """Return the first of a source's ``names`` that is a file called ``name``, the nearest to the
    top; None if there is none."""
    found = [path for path in names if PurePosixPath(path).name == name and path[-1] != "/"]
    return min(found, key=lambda path: (path.count("/"), path), default=None)


def groups_of(pattern: str, names: tuple[str, ...], where: str) -> Mapping[str, str]:
    """Return for each of the file ``names`` the group that ``pattern`` finds in it.

    Raises:
        UserError: no regular expression with one group, or a name it does not fit.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise _bad_pattern(where, pattern, str(error)) from error
    if compiled.groups != 1:
        raise _bad_pattern(where, pattern, f"{compiled.groups} groups")
    found = {}
    for name in names:
        match = compiled.search(PurePosixPath(name).name)
        if match is None:
            raise UserError(
                f"{where}, group_of_file",
                "does not fit the name of a file",
                got=name,
                expected=f"a name that {pattern} finds something in",
                action="Change the expression, or rename the file",
            )
        found[name] = match[1]
    return found


def _bad_pattern(where: str, pattern: str, got: str) -> UserError:
    return UserError(
        f"{where}, group_of_file",
        "no expression that finds a group",
        got=f"{pattern!r}: {got}",
        expected="a regular expression with one pair of parentheses, as '_([a-z]+)_'",
        action="Change it",
    )


def needed(where: Path | None, name: str, what: str) -> Path:
    """Return the place of data that cannot do without.

    Raises:
        UserError: there is none.
    """
    if where is None:
        raise UserError(
            "--data",
            f"the {name} data set needs a place to read from",
            got="nothing",
            expected=what,
            action="Add --data",
        )
    return where
