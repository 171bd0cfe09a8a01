"""What a project is made for: the board and the choices that decide its code, resolved once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, TypeVar, Unpack, cast, get_args

from codegen.errors import UserError
from codegen.graph.ir import Allowed, Provenance
from codegen.target import boards
from codegen.target.boards import Board

Kernels = Literal["nestnet", "cmsis-nn"]
"""Whose kernels dense operators call."""

Optimize = Literal["balanced", "size", "speed"]
"""What a layer's storage is chosen by; :mod:`codegen.lower.storage_choice`."""

Decode = Literal["inference", "level"]
"""When coded streams are decoded: before their layer runs, or once after a change of level."""

Word = TypeVar("Word", bound=str)


@dataclass(frozen=True)
class Target:
    """All that decides, beside the network, what code is generated."""

    board: Board
    kernels: Kernels
    optimize: Optimize
    codecs: Allowed
    """Streams may be coded by every codec, by lz4 alone, or lie "raw", as kernels read them."""
    decode: Decode

    @property
    def words(self) -> dict[str, str]:
        """Return every choice in a word, the board by its id; for records and digests."""
        return {
            "board": self.board.id,
            "kernels": self.kernels,
            "optimize": self.optimize,
            "codecs": self.codecs,
            "decode": self.decode,
        }


class Choices(TypedDict, total=False):
    """What may be said beside the board; None, as left out, is for the network to say."""

    kernels: str
    """Default: nestnet."""
    optimize: str | None
    """Default: size for a network that was pruned to a flash budget, else balanced."""
    codecs: str | None
    """Default: what the flash budget was reckoned with; without one, all."""
    decode: str
    """Default: inference."""
    place: str | None
    """Regions of the board's chip for some uses, as in ``arena=SRAM1,data=DTCM``; default: by the
    rule of :mod:`codegen.target.placement`."""


def resolve(
    board: str | Board, provenance: Provenance | None = None, **said: Unpack[Choices]
) -> Target:
    """Return the target that was asked for.

    Args:
        board: or its name, or the path of its TOML file.
        provenance: of the network, which answers what was not said; None for one without a budget.
        said: the values of ``--kernels``, ``--optimize``, ``--codecs``, ``--decode``, ``--place``.

    Raises:
        UserError: an unknown board or word, a region the board does not have for a use.
    """
    has_budget = provenance is not None and provenance.flash_budget_bytes is not None
    reckoned_with = None if provenance is None else provenance.codecs
    optimize = said.get("optimize") or ("size" if has_budget else "balanced")
    codecs = said.get("codecs") or reckoned_with or "all"
    machine = board if isinstance(board, Board) else boards.load(board)
    return Target(
        boards.with_places(machine, _places(said.get("place")), "--place"),
        _known("--kernels", said.get("kernels", "nestnet"), get_args(Kernels)),
        _known("--optimize", optimize, get_args(Optimize)),
        _known("--codecs", codecs, get_args(Allowed)),
        _known("--decode", said.get("decode", "inference"), get_args(Decode)),
    )


def _places(text: str | None) -> dict[str, str]:
    """Return the region of each use that ``--place`` names."""
    parts = [part.strip() for part in (text or "").split(",")]
    pairs = [part.partition("=") for part in parts if part]
    if not all(use and region and not set("= ") & set(region) for use, _, region in pairs):
        raise UserError(
            "--place",
            "not a use and a region",
            got=repr(text),
            expected="USE=REGION, commas between several, as in arena=SRAM1,data=DTCM",
            action="nestnet info FILE shows the regions of a board",
        )
    found: dict[str, str] = {}
    for use, _, region in pairs:
        if use in found:
            raise UserError(
                "--place",
                f"two regions for {use}",
                got=f"{found[use]} and {region}",
                expected="each use once",
                action="Leave one out",
            )
        found[use] = region
    return found


def _known(flag: str, word: str, known: Sequence[Word]) -> Word:
    """Return ``word``, one of those that ``flag`` knows.

    Raises:
        UserError: it is none of them.
    """
    if word not in known:
        raise UserError(
            flag,
            f"unknown {flag.removeprefix('--')}",
            got=word,
            expected=" or ".join(known),
            action="Choose one of them",
        )
    return cast(Word, word)
