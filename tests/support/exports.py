"""Nested networks with random level maps, and how far an exported graph is from them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from codegen.graph import ir, reference
from nestnet.frontend.tracing import trace
from nestnet.net.network import NestedNet, to_float_input
from nestnet.net.quantize import quantize
from nestnet.net.tensors import from_memory
from nestnet.pixels import DEFAULT, Pixels

DENSITIES = (0.15, 0.4, 0.8)

PROVENANCE = ir.Provenance("0", "0" * 64, "model", "random", ())


def levels() -> tuple[ir.Level, ...]:
    """Return one description per level of ``DENSITIES``."""
    return tuple(ir.Level(f"l{k}", 1 - density, None, None) for k, density in enumerate(DENSITIES))


def prepared(
    module: nn.Module,
    shape: tuple[int, int, int],
    group: int,
    seed: int,
    dense_layers: tuple[str, ...] = (),
    seen: Pixels = DEFAULT,
) -> tuple[NestedNet, np.ndarray]:
    """Return a nested, calibrated network and random uint8 images."""
    net = trace(module, shape, seen)
    net.set_levels(len(DENSITIES))
    generator = torch.Generator().manual_seed(seed)
    for layer in net.prunable(dense_layers).values():
        out_c, in_c, *kernel = layer.weight.shape
        draw = torch.rand((out_c, -(-in_c // group), *kernel), generator=generator)
        level_map = torch.full(draw.shape, ir.NEVER, dtype=torch.uint8)
        for level in reversed(range(len(DENSITIES))):
            level_map[draw < DENSITIES[level]] = level
        layer.module.set_level_map(level_map, group)
    pixels = np.random.default_rng(seed).integers(0, 256, (200, *shape), dtype=np.uint8)
    net.train()
    with torch.no_grad():
        for level in range(len(DENSITIES)):
            for start in range(0, 200, 50):
                net(to_float_input(pixels[start : start + 50], seen), level)
    quantize(net, pixels[:100])
    return net, pixels


def int8(pixels: np.ndarray) -> np.ndarray:
    """Return the images as the firmware feeds them."""
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def stage_differences(
    net: NestedNet, graph: ir.Graph, pixels: np.ndarray, level: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every stage's name and |fake quantization - reference| in output steps.

    Each stage gets the reference's own inputs, so differences do not add up.
    """
    net.eval()
    values = reference.run_values(graph, (int8(pixels),), level)
    real: dict[str, torch.Tensor] = {}
    for step in net.steps:
        name = step.stage.output
        if step.stage.only_last:
            continue
        inputs = {source: real[source] for source in step.stage.inputs if source in real}
        for source in step.stage.inputs:
            if source in net.network.inputs:
                inputs |= net.entered([to_float_input(pixels, net.pixels)])
        with torch.no_grad():
            result = net.run_step(step, inputs, level)
        operator = next((op for op in graph.ops if op.name == step.stage.name), None)
        if operator is None:  # dropout, or a reshape that moves nothing
            real[name] = result
            continue
        value = graph.value(operator.output)
        integer = torch.from_numpy(values[operator.output].astype(np.float32))
        target = net.network.tensor(name)
        exact = from_memory((integer - value.zero_point).flatten(1), target)
        real[name] = exact * np.float32(value.scale[level])
        yield step.stage.name, np.rint(((result - real[name]) / value.scale[level]).abs().numpy())
