"""The ``nestnet`` command: each of its commands parses, calls one public function, prints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from nestnet import notices
from nestnet.cli import outputs
from nestnet.cli.commands import (
    bench,
    boards,
    build,
    codegen,
    datasets,
    info,
    models,
    predict,
    run,
    train,
)
from nestnet.cli.errors import exit_code
from nestnet.version import VERSION

FLOW = """Train ONE network that holds nested sparse sub-networks, and run it on a Cortex-M.

\b
  nestnet train --levels 4              -> runs/NAME/model.nestnet
  nestnet codegen --board stm32f7       -> build/NAME-stm32f7/ a C project of its own
  nestnet build --board stm32f7         -> firmware.elf, flash and RAM
  nestnet run --board qemu_m4           -> same bits as the reference? accuracy, instructions
  nestnet bench --board qemu_m4         -> cost of every layer at every level
  nn_set_level(&net, 2);                   in the firmware: the run-time sparsity knob

Every command takes the newest run unless --run names another; 'nestnet models', 'datasets' and
'boards' list what there is. Each command is also a Python function: nestnet.train, codegen.flow.
"""

COMMANDS: Mapping[str, Callable[..., Any]] = {
    "train": train.command,
    "codegen": codegen.command,
    "build": build.command,
    "run": run.command,
    "bench": bench.command,
    "predict": predict.command,
    "models": models.command,
    "datasets": datasets.command,
    "boards": boards.command,
    "info": info.command,
}
"""By name, in the order of --help."""

app = typer.Typer(
    name="nestnet",
    help=FLOW,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"nestnet {VERSION}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _name, _command in COMMANDS.items():
    app.command(_name, cls=outputs.Command)(_command)


def main(command_line: list[str] | None = None) -> None:
    """Run the command line and exit; a user's mistake ends in one message and exit code 2.

    Args:
        command_line: what follows the command's name; by default those of this process.
    """
    notices.print_plainly()
    sys.exit(exit_code(typer.main.get_command(app), command_line))


if __name__ == "__main__":
    main()
