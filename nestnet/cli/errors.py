"""Run the command line and turn every complaint into the one form of error users see."""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import Any

import typer

from codegen.errors import EXIT_CODE, UserError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

LOADED_LATE = {
    "torch": "torch",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "soundfile": "soundfile",
}
"""Packages by module that only some commands load, so that the others also work without them."""


def exit_code(command: Any, line: list[str] | None) -> int:
    """Run ``command`` with the arguments ``line``, those of the process by default.

    Returns:
        The exit code; a user's mistake has been printed as one message.
    """
    try:
        code = command.main(line, prog_name="nestnet", standalone_mode=False)
    except UserError as error:
        print(error, file=sys.stderr)
        code = EXIT_CODE
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except ModuleNotFoundError as error:
        if error.name not in LOADED_LATE:
            raise
        print(explain_missing(error.name), file=sys.stderr)
        code = EXIT_CODE
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        print(explain(error, _command_path(command, line)), file=sys.stderr)
        code = EXIT_CODE
    return code if isinstance(code, int) else 0


def _command_path(command: Any, line: list[str] | None) -> str:
    """Return "nestnet train" for a line with that command; "nestnet" for one without any."""
    words = sys.argv[1:] if line is None else line
    first = next((word for word in words if not word.startswith("-")), "")
    return f"nestnet {first}" if first in command.commands else "nestnet"


def explain(error: Any, where: str = "nestnet") -> UserError:
    """Return the :class:`UserError` for an exception of the parser (Typer's usage errors).

    ``where`` is the command where the exception does not know it, as for an option without a value.
    Unknown commands and options list the valid ones and suggest the nearest.
    """
    context = getattr(error, "ctx", None)
    where = where if context is None else context.command_path
    message = str(error.format_message()).strip().removeprefix("Got ")
    unknown_option = getattr(error, "option_name", None)
    if message.startswith("No such option") and unknown_option and context is not None:
        options = sorted(o for p in context.command.get_params(context) for o in p.opts if
                         o.startswith("--"))  # fmt: skip
        return _unknown(where, "no such option", unknown_option, options)
    unknown_command = re.match(r"No such command '(.*?)'", message)
    if unknown_command and context is not None:
        commands = sorted(context.command.list_commands(context))
        return _unknown(where, "no such command", unknown_command[1], commands)
    extra = re.match(r"unexpected extra argument\S* \((\S+)", message)
    options = [] if context is None else context.command.get_params(context)
    if extra and any("--run" in option.opts for option in options):
        given = extra[1].rstrip(")")
        action = f"A run or a .nestnet file goes after --run: {where} --run {given}"
    else:
        action = f"See {where} --help"
    param = getattr(error, "param", None)
    name = param.opts[0] if param is not None and param.opts else ""
    return UserError(
        where,
        "cannot use this command line",
        got=_first_sentence(message),
        expected=f"a usable {name}" if name else "the arguments that --help shows",
        action=action,
    )


def explain_missing(module: str) -> UserError:
    """Return the :class:`UserError` for a command that needs a module of ``LOADED_LATE``."""
    package = LOADED_LATE[module]
    return UserError(
        "nestnet",
        "this command needs a package that is not installed",
        got=f"no {package}",
        expected=f"{package} beside nestnet",
        action=f"Run: pip install {package}",
    )


def _unknown(where: str, what: str, got: str, valid: list[str]) -> UserError:
    near = difflib.get_close_matches(got, valid, n=1, cutoff=0.5)
    action = f"Did you mean {near[0]!r}?" if near else f"See {where} --help"
    return UserError(where, what, got=repr(got), expected=" | ".join(valid), action=action)


def _first_sentence(message: str) -> str:
    return message.splitlines()[0].rstrip(".") if message else "nothing"
