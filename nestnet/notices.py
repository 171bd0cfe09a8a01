"""Say what a user should know although nothing is wrong: a choice made, a result changed."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO


class Notice(UserWarning):
    """What :func:`notice` says; Python's ``warnings`` filters and turns into errors by this class.

    The command line prints it as one line without a source line.
    """


def notice(text: str) -> None:
    """Say ``text`` once through Python's ``warnings``."""
    warnings.warn(text, Notice, stacklevel=2)


_python_shows = warnings.showwarning


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, Notice):
        print(f"note: {message}", file=file or sys.stderr)
    else:
        _python_shows(message, category, filename, lineno, file, line)


def print_plainly() -> None:
    """Print notices to stderr as 'note: text' from now on; other warnings as Python does."""
    warnings.showwarning = _show
