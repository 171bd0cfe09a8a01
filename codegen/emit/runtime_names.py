"""Keep a generated header apart from the files and the names of the C runtime."""

from __future__ import annotations

import re
from pathlib import Path

from codegen import paths
from codegen.errors import UserError

_GENERATED = ("model.h", "weights.h")
_OF_NETWORKS = ("nn_model_", "nn_weights_")
"""How the names of a network's own variables begin."""


def refuse_taken(header: Path, identifier: str) -> None:
    """Refuse a header that a program could not include beside the runtime.

    Args:
        header: where it is to go.
        identifier: of the array in it; ``<identifier>_output`` is another.

    Raises:
        UserError: the runtime or a project has a file, a function, a type or a variable of the
            name.
    """
    files = {path.name for path in paths.firmware().rglob("*.h")} | {*_GENERATED}
    if header.name.lower() in files:
        raise _taken(header, f"a file called {header.name}")
    words = {
        word
        for path in paths.firmware().rglob("*.[ch]")
        for word in re.findall(r"\bnn_\w+\b(?!\.[ch]\b)", path.read_text(encoding="utf-8"))
    }
    for name in (identifier, f"{identifier}_output"):
        if name in words or name.startswith(_OF_NETWORKS):
            raise _taken(header, f"an array called {name}")


def _taken(header: Path, got: str) -> UserError:
    return UserError(
        str(header),
        "the C runtime or a generated project has this name already",
        got=got,
        expected="a name of its own",
        action="Choose another file name, such as my_photo.h",
    )
