"""Say what a user should know although nothing is wrong: a choice made, a result changed."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO


class Notice(UserWarning):
    """What :func:`notice` says; Python's ``warnings`` filters and turns into errors by this class.

    The command line prints it as one line without a source line.
    """


def notice(*texts: str) -> None:
    """Say each of ``texts`` through Python's ``warnings``."""
    for text in texts:
        warnings.warn(text, Notice, stacklevel=2)


_python_shows = warnings.showwarning
_shown: set[str] = set()


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, Notice):
        _python_shows(message, category, filename, lineno, file, line)
    elif str(message) not in _shown:
        _shown.add(str(message))
        print(f"note: {message}", file=file or sys.stderr)


def print_plainly() -> None:
    """Print each notice once to stderr as 'note: text' from now on; other warnings as Python does.

    Python itself forgets what it has shown whenever somebody changes its filters, as PyTorch does.
    """
    _shown.clear()
    warnings.showwarning = _show
