"""Boards as data: one TOML file per board, read into frozen dataclasses with a closed schema."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codegen import paths
from codegen.errors import UserError

RUNNERS = ("host", "qemu", "pyocd", "none")
DSP_CORES = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m35p", "cortex-m55", "cortex-m85")
CORES = ("host", "cortex-m0", "cortex-m0plus", "cortex-m1", "cortex-m3", "cortex-m23", *DSP_CORES)
MEMORY_USES = ("flash", "ram", "spare")
CACHE_KINDS = ("none", "flash", "l1")
IN_PROJECT = "board.toml"
"""The file of a generated project that holds its board."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ADDRESSES = 2**32


@dataclass(frozen=True)
class Memory:
    """One memory region of a chip."""

    name: str
    use: str
    """"flash" (code and constants), "ram" (variables, arena, stack) or "spare" (not linked)."""
    address: int
    size_bytes: int
    wait_states: int
    """At ``Core.clock_hz``."""


@dataclass(frozen=True)
class Core:
    """The processor and how to compile for it."""

    name: str
    cpu_flags: tuple[str, ...]
    fpu_flags: tuple[str, ...]
    has_dsp: bool
    """Whether it has the DSP extension, and so other kernels; not every Cortex-M33 does."""
    clock_hz: int
    """Highest clock; the wait states and cycle models refer to it. 0 where there is none."""
    reset_clock_hz: int
    """Clock the generated start-up code leaves the chip at."""


@dataclass(frozen=True)
class Cache:
    """What sits between the core and flash; all zero for kind "none"."""

    kind: str
    """"none", "flash" (an accelerator in front of flash only) or "l1" (instruction and data)."""
    instruction_bytes: int
    data_bytes: int
    line_bytes: int


@dataclass(frozen=True)
class Part:
    """Where a chip says what it is: the DEV_ID field of ST's DBGMCU_IDCODE."""

    address: int
    device_id: int
    """12 bits, shared by the chips of one reference manual."""


@dataclass(frozen=True)
class Board:
    """A target of code generation; an emulator and the host are boards like any other."""

    id: str
    title: str
    status: str
    """How far this board has been proven, in words a user is shown."""
    source: str
    """Where the figures come from."""
    runner: str
    core: Core
    cache: Cache
    memory: tuple[Memory, ...]
    qemu_machine: str | None = None
    pyocd_target: str | None = None
    part: Part | None = None
    """What a debug probe must find before it erases anything; there if the runner is pyocd."""

    @property
    def is_host(self) -> bool:
        """Whether code is compiled with the host's own compiler."""
        return self.core.name == "host"

    def linked(self, use: str) -> Memory:
        """Return the contiguous regions used for ``use`` ("flash" or "ram") as one region."""
        regions = sorted((m for m in self.memory if m.use == use), key=lambda m: m.address)
        return Memory(
            name=use.upper(),
            use=use,
            address=regions[0].address,
            size_bytes=sum(region.size_bytes for region in regions),
            wait_states=max(region.wait_states for region in regions),
        )


def names() -> tuple[str, ...]:
    """Return the ids of all boards, sorted."""
    return tuple(sorted(path.stem for path in paths.boards().glob("*.toml")))


def load(name: str) -> Board:
    """Read the shipped board called ``name``, or the one in a file whose path ends in ``.toml``.

    Raises:
        UserError: no such board, its file breaks the schema, or a file of the user's has the id of
            a shipped board.
    """
    shipped = names()
    if name in shipped:
        return load_file(paths.boards() / f"{name}.toml")
    if not name.endswith(".toml"):
        raise UserError(
            "board",
            "unknown board",
            got=repr(name),
            expected="one of " + ", ".join(shipped) + ", or the path of a TOML file",
            action="Choose one with --board, or write my_chip.toml as docs/boards.md says",
        )
    path = Path(name)
    board = load_file(path)
    if board.id in shipped and path.resolve().parent != paths.boards().resolve():
        expected = "an id of its own, not one of " + ", ".join(shipped)
        raise _error(name, "a shipped board has this id", board.id, expected)
    return board


def load_file(path: Path) -> Board:
    """Read one board file, whose name is the board's id.

    Raises:
        UserError: it cannot be read, is not TOML, has an unknown or missing key, or a value of the
            wrong type or range.
    """
    board = _read(path)
    if board.id != path.stem:
        raise _error(path.name, "id differs from the file name", board.id, path.stem)
    return board


def of_project(project: Path) -> Board:
    """Return the board that a generated project was written for.

    Raises:
        UserError: as :func:`load_file`.
    """
    return _read(project / IN_PROJECT)


def _read(path: Path) -> Board:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _error(str(path), "cannot read", error.strerror or error, "a board file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _error(path.name, "not valid TOML", error, "a TOML document") from error
    board = _board(_Table(path.name, data), path.name)
    _check(board, path.name)
    return board


def to_toml(board: Board) -> str:
    """Return the text of a file that reads back as ``board``."""
    facts = asdict(board)
    lines = [f"{key} = {_toml(key, value)}" for key, value in facts.items() if type(value) is str]
    tables = [(f"[{key}]", value) for key, value in facts.items() if isinstance(value, dict)]
    for title, table in [*tables, *(("[[memory]]", region) for region in facts["memory"])]:
        lines += ["", title, *(f"{key} = {_toml(key, value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(key: str, value: object) -> str:
    if key in ("address", "device_id"):
        return f"{value:#x}"
    return json.dumps(value, ensure_ascii=False)


def _error(where: str, what: str, got: object, expected: object) -> UserError:
    return UserError(where, what, got=got, expected=expected, action="Correct the board file")


class _Table:
    """Typed access to one TOML table that reports every key nobody may write."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self._where = where
        self._data = data

    def close(self, known: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        """Refuse unknown and missing keys."""
        valid = ", ".join(known + optional)
        unknown = sorted(set(self._data) - set(known) - set(optional))
        if unknown:
            raise _error(self._where, "unknown key", unknown[0], "one of " + valid)
        missing = [key for key in known if key not in self._data]
        if missing:
            raise _error(self._where, "missing key", "no " + missing[0], "all of " + valid)

    def _typed(self, key: str, check: Callable[[Any], bool], expected: str) -> Any:
        value = self._data[key]
        if not check(value):
            raise _error(f"{self._where}: {key}", "wrong value", repr(value), expected)
        return value

    def text(self, key: str, choices: tuple[str, ...] = ()) -> str:
        """Return a non-empty string, one of ``choices`` if there are any."""
        expected = "one of " + ", ".join(choices) if choices else "printable text on one line"
        value: str = self._typed(
            key,
            lambda v: (
                isinstance(v, str) and v.isprintable() and v != "" and (not choices or v in choices)
            ),
            expected,
        )
        return value

    def number(self, key: str) -> int:
        """Return an integer that is 0 or more."""
        value: int = self._typed(key, lambda v: type(v) is int and v >= 0, "an integer, 0 or more")
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        value: bool = self._typed(key, lambda v: isinstance(v, bool), "true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value: list[str] = self._typed(
            key,
            lambda v: (
                isinstance(v, list)
                and all(isinstance(item, str) and item.isprintable() for item in v)
            ),
            "a list of strings",
        )
        return tuple(value)

    def table(self, key: str) -> _Table:
        """Return the sub-table ``key``."""
        value = self._typed(key, lambda v: isinstance(v, dict), "a table")
        return _Table(f"{self._where}: [{key}]", value)

    def tables(self, key: str) -> tuple[_Table, ...]:
        """Return the array of tables ``key``, empty if absent."""
        if key not in self._data:
            return ()
        value = self._typed(
            key,
            lambda v: isinstance(v, list) and all(isinstance(item, dict) for item in v),
            "an array of tables",
        )
        return tuple(
            _Table(f"{self._where}: [[{key}]] {index}", item) for index, item in enumerate(value)
        )

    def has(self, key: str) -> bool:
        """Return whether ``key`` is present."""
        return key in self._data


def _memory(table: _Table) -> Memory:
    table.close(("name", "use", "address", "size_bytes", "wait_states"))
    return Memory(
        name=table.text("name"),
        use=table.text("use", MEMORY_USES),
        address=table.number("address"),
        size_bytes=table.number("size_bytes"),
        wait_states=table.number("wait_states"),
    )


def _core(table: _Table) -> Core:
    table.close(("name", "cpu_flags", "fpu_flags", "has_dsp", "clock_hz", "reset_clock_hz"))
    return Core(
        name=table.text("name", CORES),
        cpu_flags=table.texts("cpu_flags"),
        fpu_flags=table.texts("fpu_flags"),
        has_dsp=table.flag("has_dsp"),
        clock_hz=table.number("clock_hz"),
        reset_clock_hz=table.number("reset_clock_hz"),
    )


def _cache(table: _Table) -> Cache:
    table.close(("kind", "instruction_bytes", "data_bytes", "line_bytes"))
    return Cache(
        kind=table.text("kind", CACHE_KINDS),
        instruction_bytes=table.number("instruction_bytes"),
        data_bytes=table.number("data_bytes"),
        line_bytes=table.number("line_bytes"),
    )


def _part(table: _Table) -> Part:
    table.close(("address", "device_id"))
    return Part(address=table.number("address"), device_id=table.number("device_id"))


def _board(table: _Table, where: str) -> Board:
    table.close(
        ("id", "title", "status", "source", "runner", "core", "cache"),
        ("memory", "qemu_machine", "pyocd_target", "part"),
    )
    return Board(
        id=table.text("id"),
        title=table.text("title"),
        status=table.text("status"),
        source=table.text("source"),
        runner=table.text("runner", RUNNERS),
        core=_core(table.table("core")),
        cache=_cache(table.table("cache")),
        memory=tuple(_memory(item) for item in table.tables("memory")),
        qemu_machine=table.text("qemu_machine") if table.has("qemu_machine") else None,
        pyocd_target=table.text("pyocd_target") if table.has("pyocd_target") else None,
        part=_part(table.table("part")) if table.has("part") else None,
    )


def _check(board: Board, where: str) -> None:
    """Refuse a board whose parts do not fit together."""
    if not _ID.fullmatch(board.id):
        raise _error(where, "not an id", repr(board.id), "letters, digits, _ and -, as in my_chip")
    needed: tuple[tuple[str, str, object], ...] = (
        ("qemu", "qemu_machine", board.qemu_machine),
        ("pyocd", "pyocd_target", board.pyocd_target),
        ("pyocd", "part", board.part),
    )
    for runner, key, value in needed:
        if (board.runner == runner) != (value is not None):
            expected = f"{key} exactly when runner is {runner}"
            raise _error(where, f"runner {board.runner} and {key} disagree", value, expected)
    if board.is_host != (board.runner == "host"):
        raise _error(where, "runner and core disagree", board.core.name, "host with host only")
    if board.core.has_dsp and board.core.name not in DSP_CORES:
        expected = "has_dsp = false, or one of " + ", ".join(DSP_CORES)
        raise _error(where, "this core has no DSP instructions", board.core.name, expected)
    if board.is_host:
        if board.memory:
            raise _error(where, "memory regions on the host", len(board.memory), "none")
        return
    for region in board.memory:
        if region.size_bytes == 0 or region.address + region.size_bytes > _ADDRESSES:
            got = f"{region.size_bytes} bytes at {region.address:#x}"
            raise _error(where, f"no such region as {region.name}", got, "a part of 4 GiB")
    for use in ("flash", "ram"):
        regions = sorted((m for m in board.memory if m.use == use), key=lambda m: m.address)
        if not regions:
            raise _error(where, "missing memory region", f"no {use}", f"at least one {use} region")
        for lower, upper in itertools.pairwise(regions):
            if lower.address + lower.size_bytes != upper.address:
                got = f"{lower.name} and {upper.name}"
                raise _error(where, f"{use} regions are not contiguous", got, "touching regions")
