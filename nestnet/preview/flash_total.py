"""Turn a budget for a whole firmware into one for its weights: measure what the code around takes.

The code does not depend on the values of the weights, so an untrained twin of the network is built
for the board. Which codecs a trained network uses is not known yet; those the twin does without are
added.
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
from codegen.graph import file as nestfile
from codegen.target import boards
from nestnet import datasets, tasks
from nestnet.config import TrainConfig
from nestnet.preview.untrained import untrained
from nestnet.training.session import default_model


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


def around_bytes(config: TrainConfig, module: nn.Module | None = None) -> int:
    """Return the flash of the firmware for ``config.board`` without its weight image."""
    data = datasets.of(config)
    model = default_model(data.input_shape) if config.model == "auto" else config.model
    graph = untrained(
        model,
        sparsity=config.sparsity,
        group=config.group,
        allocation=config.allocation,
        seed=config.seed,
        input_shape=data.input_shape,
        classes=tasks.of(config.task).outputs(data),
        module=module,
        mean=config.mean,
        std=config.std,
    )
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
        used = {codec for layer in built.info.layers for codec in layer.codecs}
    unused = [codec for codec in admitted(config.codecs) if codec.name not in used]
    others = sum(codec.decoder_bytes for codec in unused)
    return built.sizes.flash_bytes - built.sizes.weights_bytes + others
