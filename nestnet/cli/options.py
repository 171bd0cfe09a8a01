"""Options that several commands have, and values of options that are more than one number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codegen.errors import UserError
from nestnet.cli import outputs
from nestnet.shorthand import TEXTS, sparsity_of

RunOption = Annotated[
    str | None, typer.Option("--run", help="Run folder, its name, or a .nestnet file.")
]
BoardOption = Annotated[str, typer.Option("--board", help="See nestnet boards; or a TOML file.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Project folder.")]
KernelsOption = Annotated[
    str, typer.Option("--kernels", help="Dense layers: nestnet | cmsis-nn (yours to install).")
]
OptimizeOption = Annotated[
    str | None, typer.Option(help="Weights in flash: balanced | size | speed.")
]
CodecsOption = Annotated[str | None, typer.Option(help="For coded streams: all | lz4 | raw.")]
DecodeOption = Annotated[
    str, typer.Option(help="Decode at every inference | once after a change of level.")
]
PlaceOption = Annotated[
    str | None, typer.Option("--place", help="As in arena=SRAM1: else the fastest that fits.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="In C; else the run's name.")]
ProbeOption = Annotated[str | None, typer.Option("--probe", help="Part of a unique ID.")]
ImagesOption = Annotated[int, typer.Option("--images", help="Test images, spread over the set.")]
DataOption = Annotated[str, typer.Option("--data", help="Where the run's data set lies by now.")]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", callback=outputs.check, help="Also write the result here."),
]


def setting(key: str, text: str | None, flag: str) -> Any:
    """Return what ``text`` after ``flag`` means for the setting ``key``; None without a text.

    Raises:
        UserError: it means nothing.
    """
    return None if text is None else TEXTS[key](text, flag)


def sparsity(text: str | None, levels: int | None) -> tuple[float, ...] | None:
    """Return the sparsities that --sparsity and --levels ask for, None for the default."""
    values = setting("sparsity", text, "--sparsity")
    return values if levels is None else sparsity_of(levels, values)


def flash(budget: str | None, total: str | None, board: str | None) -> dict[str, object]:
    """Return the settings that --flash, --flash-total and --board make.

    Raises:
        UserError: both budgets, or not a size.
    """
    if budget is not None and total is not None:
        raise UserError(
            "--flash",
            "two budgets",
            got="--flash and --flash-total",
            expected="one: weights and tables alone, or the whole firmware",
            action="Leave one out",
        )
    return {
        "flash_bytes": setting("flash_bytes", budget, "--flash") if total is None else 0,
        "flash_total_bytes": setting("flash_total_bytes", total, "--flash-total")
        if budget is None
        else 0,
        "board": "" if budget is not None and board is None else board,
    }


def input_shape(text: str | None) -> tuple[int, int, int] | None:
    """Return height, width and channels of --input-shape."""
    parts = (text or "").lower().split("x")
    if text is None:
        return None
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
        raise UserError(
            "--input-shape",
            "not an input shape",
            got=repr(text),
            expected="HEIGHTxWIDTHxCHANNELS, each 1..4096, as in 32x32x3",
            action="Write all three numbers",
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


def levels(text: str | None) -> tuple[int, ...] | None:
    """Return the level numbers of --levels, None for all."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UserError(
            "--levels",
            "not a list of levels",
            got=repr(text),
            expected="level numbers with commas, as in 0,3",
            action="Leave it out for all levels",
        )
    return tuple(int(part) for part in parts)


def given(context: typer.Context) -> list[str]:
    """Return the options that stand on the command line, in the order of --help."""
    sources = {p: context.get_parameter_source(str(p.name)) for p in context.command.params}
    return [p.opts[0] for p, source in sources.items() if source and source.name == "COMMANDLINE"]


def refuse_with_resume(context: typer.Context) -> None:
    """Refuse flags of training, or a configuration file, beside ``--resume``.

    Raises:
        UserError: there are some.
    """
    extra = [name for name in given(context) if name not in ("--resume", "--out", "--json")]
    if extra:
        raise UserError(
            "--resume",
            "a resumed run keeps its configuration",
            got=", ".join(extra),
            expected="no other flag of training",
            action="Leave them out, or train a new run",
        )
