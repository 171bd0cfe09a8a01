"""Boards as data: one TOML file per board says which chip is on it and how to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from codegen import paths
from codegen.errors import UserError
from codegen.target import chips, toml_table
from codegen.target.chips import Cache, Chip, Memory
from codegen.target.cores import Core
from codegen.target.toml_table import Table, error, one_of

RUNNERS = ("host", "qemu", "pyocd", "none")
IN_PROJECT = "board.toml"
"""The file of a generated project that holds its board, with chip and core written out."""


JOIN = "+"
"""Between the names of regions that are one piece of memory."""


@dataclass(frozen=True)
class Bank:
    """Regions that touch and serve the same uses, as one piece of memory."""

    regions: tuple[Memory, ...]
    """By address."""

    @property
    def name(self) -> str:
        """Return what the bank is called, as in ``DTCM+SRAM1``."""
        return JOIN.join(region.name for region in self.regions)

    @property
    def address(self) -> int:
        """Return the first address."""
        return self.regions[0].address

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all regions."""
        return sum(region.size_bytes for region in self.regions)

    @property
    def wait_states(self) -> int:
        """Return those of the slowest region."""
        return max(region.wait_states for region in self.regions)

    @property
    def cached(self) -> bool:
        """Return whether a cache answers for any of it."""
        return any(region.cached for region in self.regions)


@dataclass(frozen=True)
class Placed:
    """A use that shall lie in a region the rule of placement would not take."""

    use: str
    region: str


@dataclass(frozen=True)
class Board:
    """A target of code generation; an emulator and the host are boards like any other."""

    id: str
    title: str
    status: str
    """How far this board has been proven, in words a user is shown."""
    runner: str
    chip: Chip
    qemu_machine: str | None = None
    place: tuple[Placed, ...] = ()
    """Where the rule of :mod:`codegen.target.placement` is not followed."""

    @property
    def core(self) -> Core:
        """Return the core of the chip."""
        return self.chip.core

    @property
    def cache(self) -> Cache:
        """Return the caches of the chip."""
        return self.chip.cache

    @property
    def memory(self) -> tuple[Memory, ...]:
        """Return the memory regions of the chip."""
        return self.chip.memory

    @property
    def is_host(self) -> bool:
        """Whether code is compiled with the host's own compiler."""
        return self.core.is_host

    def banks(self, use: str) -> tuple[Bank, ...]:
        """Return the memory for ``use``, the regions that touch as one; in the chip's order."""
        found: list[Bank] = []
        for region in (region for region in self.memory if use in region.use):
            if any(region in bank.regions for bank in found):
                continue
            found.append(Bank(self._joined(region)))
        return tuple(found)

    def all_banks(self) -> tuple[Bank, ...]:
        """Return the memory for any use, each bank once."""
        return tuple(dict.fromkeys(bank for use in chips.USES for bank in self.banks(use)))

    def placed(self, use: str) -> Bank | None:
        """Return the bank that ``use`` shall lie in by order; None if it is to be chosen."""
        named = {placed.use: placed.region for placed in self.place}
        return next((bank for bank in self.banks(use) if bank.name == named.get(use)), None)

    def _joined(self, region: Memory) -> tuple[Memory, ...]:
        """Return the regions of the same uses that ``region`` touches, directly or not.

        Regions that ``place`` names join those alone that it names with them.
        """
        alike = sorted(
            (
                other
                for other in self.memory
                if set(other.use) == set(region.use) and self._order(other) == self._order(region)
            ),
            key=lambda other: other.address,
        )
        joined = [region]
        for other in alike:
            if other.address == joined[-1].end:
                joined.append(other)
        for other in reversed(alike):
            if other.end == joined[0].address:
                joined.insert(0, other)
        return tuple(joined)

    def _order(self, region: Memory) -> str | None:
        """Return what ``place`` names ``region`` by: its name, or several; None if it does not."""
        named = (placed.region for placed in self.place)
        return next((order for order in named if region.name in order.split(JOIN)), None)


def names() -> tuple[str, ...]:
    """Return the ids of all shipped boards, sorted."""
    return toml_table.stems(paths.boards())


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
        close = toml_table.nearest(name, shipped)
        raise UserError(
            "board",
            "unknown board",
            got=repr(name),
            expected=one_of(shipped) + ", or the path of a TOML file",
            action=(f"Did you mean {close}? " if close else "")
            + "Choose one with --board, or write my_board.toml as docs/howto/board.md says",
        )
    path = Path(name)
    board = load_file(path)
    if board.id in shipped and path.resolve().parent != paths.boards().resolve():
        expected = "an id of its own, not " + one_of(shipped)
        raise error(name, "a shipped board has this id", board.id, expected)
    return board


def load_file(path: Path) -> Board:
    """Read one board file, whose name is the board's id.

    Raises:
        UserError: it cannot be read, is not TOML, has an unknown or missing key, or a value of the
            wrong type or range.
    """
    board = parse(Table.read(path))
    if board.id != path.stem:
        raise error(path.name, "id differs from the file name", board.id, path.stem)
    return board


def of_project(project: Path) -> Board:
    """Return the board that a generated project was written for.

    Raises:
        UserError: its file is missing, was changed, or is another version's.
    """
    try:
        return parse(Table.read(project / IN_PROJECT))
    except UserError as wrong:
        raise error(
            str(project),
            f"{IN_PROJECT} is not one this version of nestnet wrote",
            got=str(wrong),
            expected="the board of the project, its chip and core written out",
            action="Run `nestnet codegen` again",
        ) from wrong


def parse(table: Table) -> Board:
    """Return what a board's table says.

    Raises:
        UserError: an unknown or missing key, a wrong value, or parts that do not fit together.
    """
    flat = [key for key in ("core", "cache", "memory") if table.has(key)]
    if flat and not table.has("chip"):
        expected = "them in [chip], [chip.cache] and [[chip.memory]], or chip = NAME"
        action = "Move them as the example in docs/howto/board.md shows"
        raise error(table.where, "facts of a chip beside the board's", flat[0], expected, action)
    table.close(("id", "title", "status", "runner", "chip"), ("qemu_machine", "place"))
    board = Board(
        id=table.identifier("id"),
        title=table.text("title"),
        status=table.text("status"),
        runner=table.text("runner", RUNNERS),
        chip=chips.of(table),
        qemu_machine=table.text("qemu_machine") if table.has("qemu_machine") else None,
    )
    if table.has("place"):
        place = table.table("place")
        place.close((), chips.USES)
        board = with_places(
            board, {use: place.text(use) for use in chips.USES if place.has(use)}, place.where
        )
    _check(board, table.where)
    return board


def with_places(board: Board, regions: Mapping[str, str], where: str) -> Board:
    """Return ``board`` with each use in the region named for it, whatever the rule says.

    Raises:
        UserError: no such use or region, or a region that is not for the use.
    """
    for use, region in regions.items():
        if use not in chips.USES:
            raise error(where, "unknown use of memory", use, one_of(chips.USES), "Choose one")
        allowed = [each.name for each in board.memory if use in each.use]
        if not set(region.split(JOIN)) <= set(allowed):
            expected = one_of(allowed) if allowed else f"none: {board.title} has no such memory"
            raise error(where, f"no region for {use}", region, expected, "Choose one")
    kept = {placed.use: placed.region for placed in board.place} | dict(regions)
    place = tuple(Placed(use, kept[use]) for use in chips.USES if use in kept)
    board = replace(board, place=place)
    for use in regions:
        if board.placed(use) is None:
            expected = "regions that touch, in the order of their addresses, each named once"
            raise error(where, f"no piece of memory for {use}", kept[use], expected, "Name one")
    return board


def to_toml(board: Board) -> str:
    """Return the text of a file that reads back as ``board`` without any other file."""
    facts = {**asdict(board), "chip": chips.facts(board.chip)}
    facts["place"] = {placed.use: placed.region for placed in board.place} or None
    return toml_table.to_toml(facts)


def _check(board: Board, where: str) -> None:
    """Refuse a board whose parts do not fit together."""
    if (board.runner == "qemu") != (board.qemu_machine is not None):
        expected = "qemu_machine exactly when runner is qemu"
        raise error(
            where, f"runner {board.runner} and qemu_machine disagree", board.qemu_machine, expected
        )
    for key in ("pyocd_target", "part"):
        if board.runner == "pyocd" and getattr(board.chip, key) is None:
            expected = f"{key} in the chip, for runner pyocd"
            raise error(where, "runner pyocd cannot know the chip", f"no {key}", expected)
    if board.is_host != (board.runner == "host"):
        raise error(where, "runner and core disagree", board.core.name, "host with host only")
