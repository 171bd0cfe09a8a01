"""Turn a budget for a whole firmware into one for its weights, and say how a trained network fits.

An untrained twin of the network is built for the board. Its code is nearly that of the trained
network, which may decode other layers and streams, with other codecs, and have a table per level
where the twin shares one. All of that the twin does without is added. What comes out is meant as an
upper bound; compilers promise none, so the trained network's firmware is measured in the end.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from torch import nn

from codegen import flow
from codegen.errors import UserError
from codegen.formats.codecs import admitted
from codegen.formats.storage import FORMATS, decoding_bytes
from codegen.graph import file as nestfile
from codegen.lower import lowering
from codegen.target import boards, target, toolchain
from codegen.target.manifest import LayerFacts
from nestnet import runs, tasks
from nestnet.config import TrainConfig
from nestnet.notices import notice
from nestnet.preview.untrained import of_training

LAYER_SLACK_BYTES = 12
"""By which a layer's code may grow with other weights: a table picked by level, farther offsets."""
SECOND_ROLE_BYTES = 48
"""Flash of decoding both weights and positions of a layer, over decoding as many streams of one."""
ONE_LEVEL_SPARSITY = 0.95
"""Of the twin of a network with one level: its pruned layers are nested then, beside the dense ones
that every network has, so that the kernels of both are counted."""


def resolve(config: TrainConfig, module: nn.Module | None = None) -> TrainConfig:
    """Return ``config`` with the flash_bytes that its flash_total_bytes leave for weights.

    A configuration without flash_total_bytes, or with flash_bytes as well, is returned as it is.

    Raises:
        UserError: unknown board, one without flash, no toolchain, less flash than the code takes.
    """
    if not config.flash_total_bytes or config.flash_bytes:
        return config
    if boards.load(config.board).is_host:
        raise UserError(
            "--board",
            "has no flash to fit",
            got=config.board,
            expected="a board with a microcontroller; see nestnet boards",
            action="Choose one, or give --flash for the weights and tables alone",
        )
    around = around_bytes(config, module)
    left = config.flash_total_bytes - around
    if left <= 0:
        raise UserError(
            "--flash-total",
            "the code alone takes more",
            got=f"{config.flash_total_bytes} bytes",
            expected=f"more than {around}, the firmware for {config.board} without weights",
            action="Give more flash",
        )
    Console().print(
        f"flash: {config.flash_total_bytes:,} bytes in all, {around:,} of code around the weights",
        soft_wrap=True,
    )
    return replace(config, flash_bytes=left)


def report(config: TrainConfig, run: Path, *, quiet: bool = False) -> None:
    """Print how a trained ``run`` fits its budgets; refuse a firmware that takes more than its own.

    What is printed is the image that code generation makes. It may take less than training counts:
    :mod:`nestnet.sparsity.storage` says why. A notice says so where there is no toolchain to
    measure the firmware with.

    Raises:
        UserError: it takes more; the run stays as it is.
    """
    console = Console(quiet=quiet)
    if config.flash_bytes:
        graph = nestfile.load(run / runs.MODEL)
        stored = len(lowering.lower(graph, target.resolve("host", graph.provenance)).image_bytes)
        free = 1 - stored / config.flash_bytes
        text = f"flash  {stored:,} of {config.flash_bytes:,} bytes, {free:.2%} free"
        console.print(text, soft_wrap=True)
    if not config.flash_total_bytes:
        return
    try:
        toolchain.check_tools(boards.load(config.board))
    except UserError as missing:
        notice(f"--flash-total: the trained network's firmware was not measured: {missing}")
        return
    with tempfile.TemporaryDirectory(prefix="nestnet-") as folder:
        out = Path(folder) / "project"
        model = run / runs.MODEL
        built = flow.build(flow.codegen(model, config.board, out, cycles=flow.ANALYTIC))
    taken, limit = built.sizes.flash_bytes, config.flash_total_bytes
    if taken > limit:
        raise UserError(
            "--flash-total",
            f"the firmware of the trained network {model} takes more than the budget",
            got=f"{taken} bytes on {config.board}",
            expected=f"at most {limit}",
            action=f"Train again with --flash-total {2 * limit - taken}; the run is complete, use "
            "it as it is where there is more flash",
        )
    console.print(f"flash  {taken:,} of {limit:,} bytes for the whole firmware", soft_wrap=True)


def around_bytes(config: TrainConfig, module: nn.Module | None = None) -> int:
    """Return the most flash that the firmware for ``config.board`` takes beside its weights."""
    task, data = tasks.with_data(config)
    sparsity = config.sparsity if config.levels > 1 else ONE_LEVEL_SPARSITY
    graph = of_training(config, task, data, module=module, sparsity=sparsity)
    with tempfile.TemporaryDirectory(prefix="nestnet-") as folder:
        path = Path(folder) / "twin" / "model.nestnet"
        path.parent.mkdir()
        nestfile.save(graph, path)
        out = Path(folder) / "project"
        project = flow.codegen(
            path,
            config.board,
            out,
            cycles=flow.ANALYTIC,
            optimize="size",
            codecs=config.codecs,
        )
        built = flow.build(project)
    layers = built.info.layers
    used = {codec for layer in layers for codec in layer.codecs}
    coding = [codec for codec in admitted(config.codecs) if codec.decoder_bytes]
    more = sum(codec.decoder_bytes for codec in coding if codec.name not in used)
    if coding:
        more += sum(_undecoded_bytes(layer, config.levels) for layer in layers)
    more += LAYER_SLACK_BYTES * len(layers)
    return built.sizes.flash_bytes - built.sizes.weights_bytes + more


def _undecoded_bytes(layer: LayerFacts, levels: int) -> int:
    """Return the flash of decoding all of a layer's streams beyond what it decodes now."""
    if layer.storage is None:
        return 0
    name, *coded = layer.storage.name.split(", ")
    form = next((each for each in FORMATS if each.name == name), None)
    if form is None:
        return 0  # weights as they are, never coded
    streams, roles = (levels, 2) if form.per_level else (1, 1)
    most, now = decoding_bytes(streams * roles), decoding_bytes(streams * len(coded))
    both = SECOND_ROLE_BYTES if roles > max(len(coded), 1) else 0
    return most - now + both
