"""``nestnet train``: train, prune and quantize one nested network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import nestnet
from nestnet import config, runs
from nestnet.cli import info, outputs
from nestnet.cli import options as arguments
from nestnet.cli.options import JsonOption


def command(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="Shipped model, NAME@WIDTH, or path/to/file.py:factory.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Else the one the data set is for.")] = None,
    dataset: Annotated[str | None, typer.Option(help="See nestnet datasets.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Directory or archive; alone: class folders.")
    ] = None,
    resize: Annotated[
        str | None, typer.Option(help="Scale images to HEIGHTxWIDTH; 48 is 48x48.")
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(help="Cut images with masks into HEIGHTxWIDTH; auto: most that fits --board."),
    ] = None,
    margin: Annotated[
        int | None, typer.Option(help="Of a tile, in pixels, that its neighbours answer for.")
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="Of class folders without train/ and test/; else 0.2.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Of pixel/255 or raw samples.")] = None,
    std: Annotated[
        str | None,
        typer.Option(help="Input is (x - mean)/std; also per channel."),
    ] = None,
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
    optimizer: Annotated[
        str | None, typer.Option(help="Of the weights: " + " | ".join(config.OPTIMIZERS))
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the epochs in which the rate rises.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of a gradient.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights: 0.998.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="auto | none | crop | flip-crop | flips.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same weights (CPU).")] = None,
    device: Annotated[str | None, typer.Option(help="auto | cpu | cuda.")] = None,
    amp: Annotated[str | None, typer.Option(help="Mixed precision: auto | off | bf16.")] = None,
    reparameterize: Annotated[
        bool | None,
        typer.Option("--reparameterize/--no-reparameterize", help="Parallel convolutions as one."),
    ] = None,
    init_from: Annotated[str | None, typer.Option(help="Run whose weights to start from.")] = None,
    flash: Annotated[
        str | None, typer.Option(help="Prune until weights and tables fit: 48KiB, 48kB, 49152.")
    ] = None,
    flash_total: Annotated[
        str | None, typer.Option(help="Prune until the whole firmware for --board fits.")
    ] = None,
    board: Annotated[
        str | None, typer.Option(help="With --flash-total or --tile; also a TOML file.")
    ] = None,
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
        "task": task,
        "dataset": dataset,
        "data": data,
        "resize": arguments.setting("resize", resize, "--resize"),
        "tile": arguments.setting("tile", tile, "--tile"),
        "margin": margin,
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
        "optimizer": optimizer,
        "warmup": warmup,
        "clip": clip,
        "ema": ema,
        "augment": augment,
        "seed": seed,
        "device": device,
        "amp": amp,
        "reparameterize": {True: "on", False: "off", None: None}[reparameterize],
        "init_from": init_from,
        "name": name,
        **arguments.flash(flash, flash_total, board),
        "method": method,
        "codecs": codecs,
    }
    given = {key: value for key, value in values.items() if value is not None}
    if resume is not None:
        arguments.refuse_with_resume(context)
        stopped = runs.find(resume, out, "--resume")
        outputs.refuse_inputs([json_path], outputs.settings_of(stopped / runs.MODEL))
        run = nestnet.resume(stopped)
    else:
        from nestnet import tasks  # imports torch

        chosen = config.chosen(given, settings, tasks.defaults)
        outputs.refuse_inputs([json_path], [chosen.data, chosen.model])
        run = nestnet.train(chosen, out=out)
    outputs.write_json(json_path, {"run": str(run), **info.describe(run)[1]})
