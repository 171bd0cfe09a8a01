"""Write the pages of docs/reference/ from the code: command line, settings, Python, C.

``make reference`` rewrites them; a test fails while they say anything else than the code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MADE = "<!-- Made from the code: change that, then run `make reference`. -->"


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file name."""
    return {
        "cli.md": command_line(),
        "config.md": settings(),
        "python.md": python(),
        "c.md": c_api(),
        "c-options.md": c_options(),
    }


def page(title: str, introduction: str, parts: Iterator[str]) -> str:
    """Return a page that says where it comes from."""
    body = "\n\n".join(part.strip() for part in (f"# {title}", MADE, introduction, *parts))
    return body + "\n"


def cell(text: str) -> str:
    """Return ``text`` as one cell of a table."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", r"\<")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def command_line() -> str:
    """Return the page of every command with its options and their defaults."""
    from nestnet.cli.main import app

    group: Any = typer.main.get_command(app)
    introduction = textwrap.dedent(group.help).replace("\b\n", "```text\n", 1)
    introduction = re.sub(r"(knob\n)\n", r"\1```\n\n", introduction, count=1)
    return page("Command line", introduction, (_command(group.commands[n]) for n in group.commands))


def _command(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if "--help" in parameter.opts:
            continue
        name = (
            ", ".join((*parameter.opts, *parameter.secondary_opts))
            if parameter.opts[0].startswith("-")
            else parameter.name.upper()
        )
        rows.append(
            (f"`{name}`", cell(_default(command.name, parameter)), cell(parameter.help or ""))
        )
    text = inspect.cleandoc(command.help or "")
    return f"## nestnet {command.name}\n\n{text}\n\n" + table(
        ("option", "default", "meaning"), rows
    )


def _default(command: str, parameter: Any) -> str:
    """Return what holds if the option is left out; a training's are those of its settings."""
    from nestnet.config import TrainConfig

    fields = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    if command == "train" and fields.get(parameter.name) not in (None, "", ()):
        return f"`{fields[parameter.name]}`"
    if getattr(parameter, "required", False):
        return "required"
    if getattr(parameter, "is_flag", False) or parameter.default in (None, "", ()):
        return "-"
    default = parameter.default() if callable(parameter.default) else parameter.default
    return f"`{default}`"


def settings() -> str:
    """Return the page of every key of a ``--config`` file."""
    from nestnet.config import TrainConfig

    introduction = (
        "Keys of a `--config` file (TOML), of `nestnet.train(...)` and, with hyphens, of the "
        "command line. "
        "A run keeps all of them in its `config.toml`."
    )
    notes = attribute_docs(TrainConfig)
    hints = TrainConfig.__annotations__
    rows = [
        (
            f"`{field.name}`",
            f"`{hints[field.name]}`",
            f"`{field.default!r}`",
            cell(notes.get(field.name, "")),
        )
        for field in dataclasses.fields(TrainConfig)
    ]
    return page(
        "Settings of a training",
        introduction,
        iter([table(("key", "type", "default", "meaning"), rows)]),
    )


def attribute_docs(kind: type) -> dict[str, str]:
    """Return the docstring below each annotated field of a class."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    notes = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            assert isinstance(field.target, ast.Name)
            notes[field.target.id] = str(after.value.value)
    return notes


def python() -> str:
    """Return the page of the public Python functions."""
    import codegen.flow
    import nestnet
    from nestnet import api

    introduction = (
        "Everything a command does is also a function. `nestnet.*` trains and needs PyTorch; "
        "`codegen.flow.*` generates, builds, runs and measures and needs none. A mistake of the "
        "caller's raises `codegen.errors.UserError`, whose text is one message."
    )
    names = [name for name in nestnet.__all__ if not name.startswith("_")]
    parts = [f"## {heading}" for heading in ("nestnet",)]
    parts += [_function("nestnet", getattr(api, name)) for name in names]
    parts.append("## codegen.flow")
    parts += [_function("codegen.flow", function) for function in public_functions(codegen.flow)]
    return page("Python functions", introduction, iter(parts))


def public_functions(module: ModuleType) -> list[Callable[..., Any]]:
    """Return the functions a module defines and does not hide, in its order."""
    return [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
    ]


def _function(module: str, function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters.values()
    lines = [f"{module}.{function.__name__}("]
    starred = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            lines.append("    *,")
            starred = True
        lines.append(f"    {_parameter(parameter)},")
    signature = "\n".join([*lines, f") -> {inspect.signature(function).return_annotation}"])
    text = inspect.cleandoc(function.__doc__ or "")
    text = re.sub(r":(?:func|mod|class|data):`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(
        r"\n{3,}",
        "\n\n",
        re.sub(r"^(Args|Raises|Returns):\n((?:    .*\n?|\n)+)", _section, text, flags=re.M),
    )
    return f"### {function.__name__}\n\n```python\n{signature}\n```\n\n{text}"


def _parameter(parameter: inspect.Parameter) -> str:
    text = f"{parameter.name}: {parameter.annotation}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def _section(match: re.Match[str]) -> str:
    body = textwrap.dedent(match[2])
    entries = re.split(r"\n(?=\S)", body.strip())
    lines = []
    for entry in entries:
        name, colon, what = entry.partition(":")
        lines.append(
            f"- `{name}`: {' '.join(what.split())}" if colon else f"- {' '.join(entry.split())}"
        )
    return f"\n**{match[1]}**\n\n" + "\n".join(lines) + "\n\n"


def c_api() -> str:
    """Return the page of the runtime's headers: types and functions with their comments."""
    headers = ("nestnet.h", "sources/nn_quantize.h", "sources/nn_spectrogram.h")
    header = "\n\n".join((ROOT / "firmware" / name).read_text("utf-8") for name in headers)
    introduction = (
        '`#include "nestnet.h"` comes with every generated `model.h`. No function allocates, '
        "prints or waits. What follows is the header itself, `firmware/nestnet.h`, comment by "
        "comment, then those of `firmware/sources/`, which come with a network of samples; "
        "compile-time options are on [their own page](c-options.md)."
    )
    return page("C functions", introduction, _c_parts(header))


def _c_parts(header: str) -> Iterator[str]:
    """Yield one section per commented declaration."""
    for match in re.finditer(
        r"^/\*(?P<comment>(?:(?!\*/).)*?)\*/\n(?P<code>[^\n].*?)(?=\n\n|\Z)", header, re.S | re.M
    ):
        code = match["code"].strip()
        if code.startswith(("#ifndef NN_", "#ifdef", "#include")) or "SPDX" in match["comment"]:
            continue
        named = (
            re.search(r"\b(nn_\w+)\(", code)
            or re.search(r"\}\s*(\w+);", code)
            or re.search(r"#define (\w+)", code)
        )
        if named:
            yield f"## {named[1]}\n\n```c\n{code}\n```\n\n{escaped(one_line(match['comment']))}"


def one_line(comment: str) -> str:
    """Return the text of a C comment of several lines."""
    return " ".join(line.strip(" *") for line in comment.splitlines()).strip()


def escaped(text: str) -> str:
    """Return a comment of C as Markdown: no word of it is markup."""
    return re.sub(r"([*_<>\[\]|])", r"\\\1", text)


def c_options() -> str:
    """Return the page of every compile-time option of the runtime."""
    header = (ROOT / "firmware/nn_config.h").read_text(encoding="utf-8")
    pattern = r"/\* (?P<text>(?:(?!\*/).)*?) \*/\n#ifndef (?P<name>NN_(?!CONFIG_H)\w+)\n"
    parts = (
        f"## {match['name']}\n\n{escaped(one_line(match['text']))}"
        for match in re.finditer(pattern, header, re.S)
    )
    introduction = (
        "Options of `firmware/nn_config.h`; override one with `-DNAME=VALUE`. A value that is not "
        "legal stops the compiler."
    )
    return page("C options", introduction, parts)


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
