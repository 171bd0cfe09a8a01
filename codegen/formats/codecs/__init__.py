"""The codecs, one file each: what is in this folder is a codec, and nothing lists it."""

from __future__ import annotations

import importlib
import pkgutil

from codegen.errors import UserError
from codegen.formats.base import ROLES, Codec


def _codecs() -> tuple[Codec, ...]:
    names = (f"{__name__}.{entry.name}" for entry in pkgutil.iter_modules(__path__))
    found: list[Codec] = [importlib.import_module(name).CODEC for name in names]
    return tuple(sorted(found, key=lambda codec: codec.byte_instructions))


CODECS: tuple[Codec, ...] = _codecs()
"""The fastest to decode first: that one is taken of equals."""

BY_NAME = {codec.name: codec for codec in CODECS}

WORDS = ("all", *(codec.name for codec in reversed(CODECS) if set(codec.roles) == set(ROLES)))
"""What ``--codecs`` may say: every codec, or one that can store any stream."""


def admitted(word: str) -> tuple[Codec, ...]:
    """Return the codecs that a value of ``--codecs`` admits, raw among them.

    Raises:
        UserError: there is no such value.
    """
    if word not in WORDS:
        raise UserError(
            "--codecs",
            "unknown codecs",
            got=word,
            expected=" or ".join(WORDS),
            action="Choose one of them",
        )
    return tuple(codec for codec in CODECS if word == "all" or codec.name in ("raw", word))
