"""How weights lie in flash: what a user may say of it, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast, get_args

from codegen.errors import UserError
from codegen.graph.ir import Allowed, Provenance
from codegen.program.draft import Decode, Optimize

Word = TypeVar("Word", bound=str)


@dataclass(frozen=True)
class Coding:
    """The choice for one project."""

    optimize: Optimize = "balanced"
    """What a layer's storage is chosen by; :func:`codegen.lower.storage_choice.choose_storage`."""
    codecs: Allowed = "all"
    """Streams may be coded by every codec, by lz4 alone, or lie "raw", as kernels read them."""
    decode: Decode = "inference"
    """Coded streams are decoded before their layer runs, or once after a change of "level"."""


@dataclass(frozen=True)
class CodingOptions:
    """What was said: the values of ``--optimize``, ``--codecs`` and ``--decode``.

    Raises:
        UserError: an unknown word.
    """

    optimize: str | None = None
    """None: size for a network that was pruned to a flash budget, else balanced."""
    codecs: str | None = None
    """None: what the budget was reckoned with; without one, all."""
    decode: str = "inference"

    def __post_init__(self) -> None:
        """Refuse unknown words before anything is done."""
        coding(self.optimize or "balanced", self.codecs or "all", self.decode)

    def chosen(self, provenance: Provenance) -> Coding:
        """Return the choice for a network."""
        has_budget = provenance.flash_budget_bytes is not None
        optimize = "size" if has_budget else "balanced"
        return coding(
            self.optimize or optimize, self.codecs or provenance.codecs or "all", self.decode
        )


def coding(optimize: str = "balanced", codecs: str = "all", decode: str = "inference") -> Coding:
    """Return the choice that these words name.

    Raises:
        UserError: a word that is none of the known ones.
    """
    return Coding(
        checked("--optimize", optimize, get_args(Optimize)),
        checked("--codecs", codecs, get_args(Allowed)),
        checked("--decode", decode, get_args(Decode)),
    )


def checked(flag: str, word: str, known: Sequence[Word]) -> Word:
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


DEFAULT = CodingOptions()
"""Nothing was said."""
