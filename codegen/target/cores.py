"""Cores as data: one TOML file per core says how to compile for it and which kernels it takes."""

from __future__ import annotations

from dataclasses import dataclass

from codegen import paths
from codegen.target.toml_table import Table, stems

FPUS = ("none", "single", "double")
"""What floating point a chip's maker put in, of what the core allows."""
KERNELS = ("portable", "dsp", "m7")
"""The sets of firmware/nn_kernels.h."""
ADD = "Choose one, or describe the core in a TOML file of its own: docs/howto/board.md, [chip.core]"


@dataclass(frozen=True)
class Fpu:
    """Floating point that a chip with this core may have."""

    kind: str
    """One of :data:`FPUS`."""
    flags: tuple[str, ...]
    """Of the compiler."""


@dataclass(frozen=True)
class Core:
    """A processor, whatever chip it is in."""

    name: str
    title: str
    source: str
    """Where the figures come from."""
    kernels: str
    """The set of kernels that is fastest on it."""
    cpu_flags: tuple[str, ...]
    """For gcc and clang, compiling and linking."""
    clang_flags: tuple[str, ...]
    """More, for clang alone."""
    fpu: tuple[Fpu, ...]
    emulator: str | None
    """The shipped emulated board that executes this core's code; None if there is none."""
    pricer: str | None
    """The pipeline model of codegen/measure/pipelines that prices its instructions."""
    over_m4_ratio: float | None
    """Cycles over a Cortex-M4's, where the analytic model was compared with an estimate."""

    @property
    def is_host(self) -> bool:
        """Whether code is compiled with the host's own compiler."""
        return self.name == "host"

    @property
    def has_dsp(self) -> bool:
        """Whether kernels with DSP instructions replace the portable ones."""
        return self.kernels != "portable"


def names() -> tuple[str, ...]:
    """Return the names of all shipped cores, sorted."""
    return stems(paths.cores())


def load(name: str) -> Core:
    """Read a shipped core."""
    return parse(Table.read(paths.cores() / f"{name}.toml"))


def of(table: Table) -> Core:
    """Return the core that the key ``core`` of a chip's table stands for."""
    return parse(table.named("core", paths.cores(), ADD))


def parse(table: Table) -> Core:
    """Return what a core's table says.

    Raises:
        UserError: an unknown or missing key, or a wrong value.
    """
    known = ("name", "title", "source", "kernels", "cpu_flags", "clang_flags", "fpu")
    table.close(known, ("emulator", "cycles"))
    fpu = table.table("fpu")
    fpu.close((), FPUS)
    cycles = table.table("cycles") if table.has("cycles") else Table(table.where, {}, table.folder)
    cycles.close((), ("pricer", "over_m4_ratio"))
    return Core(
        name=table.identifier("name"),
        title=table.text("title"),
        source=table.text("source"),
        kernels=table.text("kernels", KERNELS),
        cpu_flags=table.texts("cpu_flags"),
        clang_flags=table.texts("clang_flags"),
        fpu=tuple(Fpu(kind, fpu.texts(kind)) for kind in FPUS if fpu.has(kind)),
        emulator=table.text("emulator") if table.has("emulator") else None,
        pricer=cycles.text("pricer") if cycles.has("pricer") else None,
        over_m4_ratio=cycles.ratio("over_m4_ratio") if cycles.has("over_m4_ratio") else None,
    )


def facts(core: Core) -> dict[str, object]:
    """Return the table that :func:`parse` reads as ``core``."""
    found: dict[str, object] = {
        key: getattr(core, key)
        for key in ("name", "title", "source", "kernels", "cpu_flags", "clang_flags", "emulator")
    }
    found["fpu"] = {fpu.kind: fpu.flags for fpu in core.fpu}
    if core.pricer is not None or core.over_m4_ratio is not None:
        found["cycles"] = {"pricer": core.pricer, "over_m4_ratio": core.over_m4_ratio}
    return found
