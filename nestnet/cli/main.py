"""The ``nestnet`` command: parse, call one public function, print. See ``nestnet --help``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from codegen import flow
from codegen.emit import render
from codegen.graph import file as nestfile
from codegen.target import manifest
from codegen.target.target import Choices, resolve
from codegen.tasks.classification import TASK as classification
from nestnet import config, notices, runs
from nestnet.cli import bench_source, bench_tables, info, listings, outputs, tables
from nestnet.cli import c_array as c_arrays
from nestnet.cli import options as arguments
from nestnet.cli.device_images import device_images
from nestnet.cli.listings import JsonOption
from nestnet.cli.usage import exit_code
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

app = typer.Typer(
    name="nestnet",
    help=FLOW,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

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
NameOption = Annotated[str | None, typer.Option("--name", help="In C; else the run's name.")]
ProbeOption = Annotated[str | None, typer.Option("--probe", help="Part of a unique ID.")]
ImagesOption = Annotated[int, typer.Option("--images", help="Test images, spread over the set.")]

DataOption = Annotated[str, typer.Option("--data", help="Where the run's data set lies by now.")]


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"nestnet {VERSION}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(cls=outputs.Command)
def train(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="Shipped model, NAME@WIDTH, or path/to/file.py:factory.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="See nestnet datasets.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Directory or archive; alone: class folders.")
    ] = None,
    resize: Annotated[
        str | None, typer.Option(help="Scale images to HEIGHTxWIDTH; 48 is 48x48.")
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="Of class folders without train/ and test/; else 0.2.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Of pixel/255, also per channel: 0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="Input is (pixel/255 - mean)/std.")] = None,
    levels: Annotated[int | None, typer.Option(help="Number of nested levels.")] = None,
    sparsity: Annotated[str | None, typer.Option(help="One per level: 0.9,0.8,0.7,0.5.")] = None,
    group: Annotated[str | None, typer.Option(help="auto | 1x1 | 1x2 | 1x4 kept together.")] = None,
    allocation: Annotated[
        str | None, typer.Option(help="Over layers: " + " | ".join(config.ALLOCATIONS))
    ] = None,
    routing: Annotated[
        str | None, typer.Option(help="Gradients of a level: " + " | ".join(config.ROUTINGS))
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="All phases together.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    augment: Annotated[str | None, typer.Option(help="auto | none | crop | flip-crop.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same weights (CPU).")] = None,
    device: Annotated[str | None, typer.Option(help="auto | cpu | cuda.")] = None,
    amp: Annotated[str | None, typer.Option(help="Mixed precision: auto | off | bf16.")] = None,
    init_from: Annotated[str | None, typer.Option(help="Run whose weights to start from.")] = None,
    flash: Annotated[
        str | None, typer.Option(help="Prune until weights and tables fit: 48KiB, 48kB, 49152.")
    ] = None,
    flash_total: Annotated[
        str | None, typer.Option(help="Prune until the whole firmware for --board fits.")
    ] = None,
    board: Annotated[str | None, typer.Option(help="With --flash-total; also a TOML file.")] = None,
    method: Annotated[
        str | None, typer.Option(help="With a flash budget: " + " | ".join(config.METHODS))
    ] = None,
    codecs: Annotated[
        str | None, typer.Option(help="With a flash budget: " + " | ".join(config.CODECS))
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run folders.")] = runs.DEFAULT_ROOT,
    settings: Annotated[
        Path | None, typer.Option("--config", help="TOML file of any settings; flags override it.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Continue this run; no other flag.")] = None,
    json_path: JsonOption = None,
) -> None:
    """Train, prune and quantize one nested network."""
    values: dict[str, Any] = {
        "model": model,
        "dataset": dataset,
        "data": data,
        "resize": arguments.setting("resize", resize, "--resize"),
        "test_share": test_share,
        "mean": arguments.setting("mean", mean, "--mean"),
        "std": arguments.setting("std", std, "--std"),
        "sparsity": arguments.sparsity(sparsity, levels),
        "group": group,
        "allocation": allocation,
        "routing": routing,
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "augment": augment,
        "seed": seed,
        "device": device,
        "amp": amp,
        "init_from": init_from,
        "name": name,
        **arguments.flash(flash, flash_total, board),
        "method": method,
        "codecs": codecs,
    }
    given = {key: value for key, value in values.items() if value is not None}
    if resume is not None:
        arguments.refuse_with_resume(context)
        from nestnet.training.train import resume as resume_training  # imports torch

        stopped = runs.find(resume, out, "--resume")
        outputs.refuse_inputs([json_path], outputs.settings_of(stopped / runs.MODEL))
        run = resume_training(stopped)
    else:
        chosen = config.chosen(given, settings)
        outputs.refuse_inputs([json_path], [chosen.data, chosen.model])
        from nestnet.preview.flash_total import resolve  # imports torch
        from nestnet.training.train import train as start_training

        run = start_training(resolve(chosen), out)
    outputs.write_json(json_path, {"run": str(run), **info.describe(run)[1]})


@app.command(cls=outputs.Command)
def codegen(
    board: Annotated[str, typer.Option(help="See nestnet boards; or a TOML file.")] = "",
    run: RunOption = None,
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    cycles: Annotated[
        str, typer.Option(help="For nn_fit_cycles: auto | analytic | JSON of bench or of run.")
    ] = "auto",
    name: NameOption = None,
    json_path: JsonOption = None,
) -> None:
    """Write a self-contained C project for a board."""
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode)
    resolve(board, **said)
    with tables.working(f"estimating cycles on {board}" if cycles == "auto" else board):
        folder = flow.codegen(runs.model_file(run), board, out, cycles=cycles, name=name, **said)
    facts = manifest.read_info(folder)
    tables.console().print(
        f"{folder}: {len(facts.layers)} layers, {len(facts.levels)} levels, "
        f"{tables.count(facts.weights_bytes)} bytes of weights "
        f"({tables.percent(facts.weights_bytes / facts.execution_bytes)} of what kernels read), "
        f"{tables.count(facts.arena_bytes)} bytes of arena; cycles: {facts.cycles_source}"
    )
    outputs.write_json(json_path, {"project": str(folder), **facts.as_json()})


@app.command(cls=outputs.Command)
def build(
    board: Annotated[
        str | None, typer.Option(help="Or a TOML file; without, the newest project.")
    ] = None,
    run: RunOption = None,
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    json_path: JsonOption = None,
) -> None:
    """Compile a project; show its flash and RAM."""
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode)
    resolve(board or "host", **said)
    if board:
        folder = flow.prepare(runs.model_file(run), board, out, cycles=flow.AUTO, **said)
    else:
        folder = out or flow.newest_project()
    with tables.working(f"compiling {folder}"):
        built = flow.build(folder)
    title = f"{built.info.network} on {built.board.title} ({built.board.status})"
    tables.console().print(tables.sizes(title, asdict(built.sizes)))
    tables.console().print(str(built.firmware_elf))
    outputs.write_json(
        json_path, {"board": built.board.id, "elf": str(built.firmware_elf), **asdict(built.sizes)}
    )


@app.command(cls=outputs.Command)
def run(
    board: BoardOption = "host",
    run: RunOption = None,
    images: ImagesOption = 200,
    data: DataOption = "",
    levels: Annotated[str | None, typer.Option("--levels", help="As in 0,3; else all.")] = None,
    probe: ProbeOption = None,
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    json_path: JsonOption = None,
) -> None:
    """Run test images on a board; compare all bits."""
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode)
    resolve(board, **said)
    model = runs.model_file(run)
    flow.runnable(board)
    outputs.refuse_inputs([json_path], outputs.settings_of(model))
    test = device_images(model, images, data)
    chosen = arguments.levels(levels)
    with tables.working(f"{len(test.images)} images on {board}"):
        report = flow.run(
            model,
            board,
            test.images,
            test.labels,
            levels=chosen,
            out=out,
            probe=probe,
            **said,
        )
    title = f"{report.network}, {test.title}"
    tables.console().print(tables.device_levels(title, {report.board: report.as_json()}))
    if test.labels is not None:
        tables.console().print(tables.classes(report.as_json()))
    outputs.write_json(json_path, report.as_json())
    if not report.bit_exact:
        for difference in report.differences:
            print(f"{board}: not bit-exact: {difference}", file=sys.stderr)
        raise typer.Exit(1)


@app.command(cls=outputs.Command)
def bench(
    context: typer.Context,
    board: BoardOption = "qemu_m4",
    run: RunOption = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Random weights: size and speed before training.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="With --untrained: NAME@WIDTH or path/to/file.py:factory.")
    ] = None,
    levels: Annotated[int | None, typer.Option(help="With --untrained: nested levels.")] = None,
    sparsity: Annotated[
        str | None, typer.Option(help="With --untrained: 0.9,0.5; 0 alone is dense.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="With --untrained: 1x4 | 1x2 | 1x1.")] = None,
    allocation: Annotated[
        str | None, typer.Option(help="With --untrained: " + " | ".join(config.ALLOCATIONS))
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="With --untrained: of all that is random.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="With --untrained: HEIGHTxWIDTHxCHANNELS.")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="With --untrained: logits.")] = None,
    images: Annotated[int, typer.Option("--images", help="Images to average over.")] = 1,
    data: DataOption = "",
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    csv_path: Annotated[
        Path | None,
        typer.Option("--csv", callback=outputs.check, help="Also write every row here."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Show what every layer costs at every level on a board.

    Instructions are counted on an emulated core, cycles are estimated from them: not measured.
    """
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode)
    resolve(board, **said)
    options = {
        "model": model,
        "sparsity": arguments.sparsity(sparsity, levels),
        "group": group,
        "allocation": allocation,
        "seed": seed,
        "input_shape": arguments.input_shape(input_shape),
        "classes": classes,
    }
    if untrained:
        bench_source.refuse_trained_options(arguments.given(context))
        source = bench_source.untrained(options, images)
    else:
        bench_source.refuse_untrained_options(arguments.given(context))
        trained = runs.model_file(run)
        outputs.refuse_inputs([csv_path, json_path], outputs.settings_of(trained))
        source = bench_source.trained(trained, images, data)
    with tables.working(f"{len(source.images)} images on {board}"):
        result = flow.bench(source.model, board, source.images, out=out, **said)
    tables.console().print(bench_tables.as_table(result))
    outputs.write(csv_path, bench_tables.as_csv(result))
    outputs.write_json(json_path, result.as_json())


@app.command(cls=outputs.Command)
def classify(
    photo: Annotated[Path, typer.Argument(help="Image file.")],
    run: RunOption = None,
    c_array: Annotated[
        Path | None,
        typer.Option(callback=outputs.check, help="Write image and answers here, as a C header."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Classify a photo at every level, on this computer, with the bits of the device."""
    model = runs.model_file(run)
    array = c_arrays.name_in(c_array)
    graph = nestfile.load(model)
    from nestnet.cli.photo import read_photo  # imports pillow

    made = read_photo(photo, graph)
    answers = classification.answers(graph, made.image)
    title = "; ".join((f"{photo.name} on {graph.name}", *made.notes))
    levels = classification.as_json(graph, answers)
    tables.console().print(tables.answers(title, levels))
    if c_array is not None:
        digest = nestfile.file_sha256(model)
        text = render.image_header(graph, digest, photo.name, array, made.image, answers)
        outputs.write(c_array, text)
    outputs.write_json(json_path, {"photo": str(photo), "notes": made.notes, "levels": levels})


for _name, _listing in listings.COMMANDS.items():
    app.command(_name, cls=outputs.Command)(_listing)


def main(command_line: list[str] | None = None) -> None:
    """Run the command line and exit; a user's mistake ends in one message and exit code 2.

    Args:
        command_line: what follows the command's name; by default those of this process.
    """
    notices.print_plainly()
    sys.exit(exit_code(typer.main.get_command(app), command_line))


if __name__ == "__main__":
    main()
