"""Chips as data: one TOML file per chip says what its core, its memory and its caches are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from codegen import paths
from codegen.target import cores
from codegen.target.cores import Core
from codegen.target.toml_table import Table, error, stems

USES = ("code", "weights", "data", "stack", "arena")
"""What a region can hold; a chip that is linked for needs a region for each."""
SPARE = "spare"
"""The one use of a region that is never linked."""
CACHE_KINDS = ("none", "flash", "l1")
ADD = "Choose one, or describe the chip in a TOML file of its own: docs/howto/board.md, [chip]"

_ADDRESSES = 2**32
_LEAST_REGION_BYTES = 512
"""Anything less was meant in another unit."""
_LEAST_CLOCK_HZ = 10_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Enable:
    """Bits that start-up sets before a region answers, such as those of its clock."""

    address: int
    set_bits: int


@dataclass(frozen=True)
class Memory:
    """One memory region of a chip."""

    name: str
    use: tuple[str, ...]
    """Some of :data:`USES`, or :data:`SPARE` alone."""
    address: int
    size_bytes: int
    wait_states: int
    """Cycles of the core an access waits for, at ``Chip.clock_hz`` and with no cache."""
    cached: bool
    """Whether the chip's cache answers for it."""
    enable: Enable | None = None

    @property
    def end(self) -> int:
        """Return the address after the region."""
        return self.address + self.size_bytes


@dataclass(frozen=True)
class Cache:
    """What sits between the core and memory; all zero for kind "none"."""

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
class Setup:
    """What a program of one's own writes before it raises the clock; shown, never compiled."""

    header: str
    """Whose names the lines use."""
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Chip:
    """A microcontroller, whatever board it is on."""

    id: str
    title: str
    source: str
    """Where the figures come from."""
    core: Core
    fpu: str
    """One of the kinds of the core."""
    clock_hz: int
    """Highest clock; wait states and cycle models refer to it. 0 where there is none."""
    reset_clock_hz: int
    """Clock the generated start-up code leaves the chip at."""
    cache: Cache
    memory: tuple[Memory, ...]
    pyocd_target: str | None = None
    part: Part | None = None
    """What a debug probe must find before it erases anything."""
    setup: Setup | None = None

    @property
    def compile_flags(self) -> tuple[str, ...]:
        """Return the compiler's flags for core and FPU."""
        (fpu,) = (fpu for fpu in self.core.fpu if fpu.kind == self.fpu)
        return self.core.cpu_flags + fpu.flags


def names() -> tuple[str, ...]:
    """Return the ids of all shipped chips, sorted."""
    return stems(paths.chips())


def load(name: str) -> Chip:
    """Read a shipped chip."""
    return parse(Table.read(paths.chips() / f"{name}.toml"))


def of(table: Table) -> Chip:
    """Return the chip that the key ``chip`` of a board's table stands for."""
    return parse(table.named("chip", paths.chips(), ADD))


def parse(table: Table) -> Chip:
    """Return what a chip's table says.

    Raises:
        UserError: an unknown or missing key, a wrong value, or regions that do not fit together.
    """
    table.close(
        ("id", "title", "source", "core", "fpu", "clock_hz", "reset_clock_hz", "cache"),
        ("memory", "pyocd_target", "part", "setup"),
    )
    core = cores.of(table)
    chip = Chip(
        id=table.identifier("id"),
        title=table.text("title"),
        source=table.text("source"),
        core=core,
        fpu=table.text("fpu", [fpu.kind for fpu in core.fpu]),
        clock_hz=table.number("clock_hz", least=_LEAST_CLOCK_HZ),
        reset_clock_hz=table.number("reset_clock_hz", least=_LEAST_CLOCK_HZ),
        cache=_cache(table.table("cache")),
        memory=tuple(_memory(item) for item in table.tables("memory")),
        pyocd_target=table.text("pyocd_target") if table.has("pyocd_target") else None,
        part=_part(table.table("part")) if table.has("part") else None,
        setup=_setup(table.table("setup")) if table.has("setup") else None,
    )
    _check(chip, table.where)
    return chip


def facts(chip: Chip) -> dict[str, object]:
    """Return the table that :func:`parse` reads as ``chip``, its core written out."""
    found = {**asdict(chip), "core": cores.facts(chip.core)}
    return {key: value for key, value in found.items() if key != "memory" or value}


def _memory(table: Table) -> Memory:
    known = ("name", "use", "address", "size_bytes", "wait_states", "cached")
    table.close(known, ("enable",))
    use = table.texts("use", (*USES, SPARE))
    if not use or len(set(use)) != len(use) or (SPARE in use and len(use) > 1):
        expected = f"some of {', '.join(USES)}, or {SPARE} alone for what is not linked"
        raise error(f"{table.where}: use", "a region without a use", list(use), expected)
    return Memory(
        name=table.text("name"),
        use=use,
        address=table.number("address"),
        size_bytes=table.number("size_bytes"),
        wait_states=table.number("wait_states"),
        cached=table.flag("cached"),
        enable=_enable(table.table("enable")) if table.has("enable") else None,
    )


def _enable(table: Table) -> Enable:
    table.close(("address", "set_bits"))
    return Enable(address=table.number("address"), set_bits=table.number("set_bits"))


def _cache(table: Table) -> Cache:
    table.close(("kind", "instruction_bytes", "data_bytes", "line_bytes"))
    return Cache(
        kind=table.text("kind", CACHE_KINDS),
        instruction_bytes=table.number("instruction_bytes"),
        data_bytes=table.number("data_bytes"),
        line_bytes=table.number("line_bytes"),
    )


def _part(table: Table) -> Part:
    table.close(("address", "device_id"))
    return Part(address=table.number("address"), device_id=table.number("device_id"))


def _setup(table: Table) -> Setup:
    table.close(("header", "lines"))
    return Setup(header=table.text("header"), lines=table.texts("lines"))


def _check(chip: Chip, where: str) -> None:
    """Refuse a chip whose parts do not fit together."""
    if chip.core.is_host:
        if chip.memory:
            raise error(where, "memory regions on the host", len(chip.memory), "none")
        return
    _check_regions(chip.memory, where)
    for use in USES:
        if not any(use in region.use for region in chip.memory):
            named = ", ".join(f"{region.name} ({'+'.join(region.use)})" for region in chip.memory)
            expected = f'a [[memory]] whose use lists "{use}"'
            raise error(where, f"no region for {use}", named or "no region at all", expected)


def _check_regions(regions: Sequence[Memory], where: str) -> None:
    for region in regions:
        if not _NAME.fullmatch(region.name):
            raise error(where, "not a region's name", repr(region.name), "A-Z, 0-9, _, as in SRAM1")
        if region.size_bytes < _LEAST_REGION_BYTES:
            expected = f"at least {_LEAST_REGION_BYTES}: size_bytes is in bytes, 128 KiB = 131_072"
            raise error(where, f"region {region.name} is tiny", region.size_bytes, expected)
        if region.end > _ADDRESSES:
            got = f"{region.size_bytes} bytes at {region.address:#x}"
            raise error(where, f"no such region as {region.name}", got, "a part of 4 GiB")
        if region.enable is not None and "stack" in region.use:
            expected = "a stack in memory that answers from reset: start-up runs on it"
            raise error(where, f"region {region.name} has to be enabled", "use stack", expected)
    ordered = sorted(regions, key=lambda region: region.address)
    for lower, upper in itertools.pairwise(ordered):
        if lower.end > upper.address:
            got = f"{lower.name} ends at {lower.end:#x}, {upper.name} starts at {upper.address:#x}"
            raise error(where, "regions overlap", got, "each byte in one region")
    names = [region.name for region in regions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise error(where, "two regions of one name", twice[0], "a name for each region")
