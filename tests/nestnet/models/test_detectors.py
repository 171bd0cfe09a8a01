"""The shipped detectors: nested, quantized and exported with the bits of fake quantization."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import nestnet
from codegen.graph import file as nestfile
from codegen.graph import reference
from nestnet import models
from nestnet.tasks._assignment import maps_of
from tests.support.exports import int8
from tests.support.nets import macs

SHAPE = (32, 48, 1)
JOINED = [f"{scale}_head.{part}" for scale in ("fine", "coarse") for part in ("scores", "boxes")]
SSDLITE = [f"heads.{scale}.{part}.1" for scale in range(3) for part in ("scores", "boxes")]
"""Layers that make maps of more than one cell."""


@pytest.mark.parametrize(("name", "ends"), [
    ("det_mobilenetv2", JOINED), ("det_csp", JOINED), ("det_c2f", JOINED),
    ("ssdlite_mobilenetv2", SSDLITE),
])  # fmt: skip
def test_a_detector_is_nested_and_its_graph_has_its_numbers(
    name: str, ends: list[str], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    module = models.build(f"{name}@0.0625", SHAPE, 3)
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(4, 1, *SHAPE[:2]))
    net = nestnet.nest(module, SHAPE, sparsity=(0.6, 0.2))
    dense = net.default_dense_layers()
    assert set(dense[1:]) == set(ends)
    images = np.random.default_rng(5).integers(0, 256, (7, *SHAPE), np.uint8)
    nestnet.quantize(net, images)
    graph = nestfile.load(nestnet.export(net, tmp_path / "net.nestnet"))
    first = ("scores_0", "boxes_0") if ends is SSDLITE else ("scores_8", "boxes_8")
    assert graph.outputs[:2] == first
    net.eval()
    for level in range(2):
        with torch.no_grad():
            wanted = maps_of(net.logits(net.pixels.to_float(torch.from_numpy(images)), level))
        outputs = reference.run(graph, (int8(images),), level)
        for name_of, got, real in zip(graph.outputs, outputs, wanted, strict=True):
            value = graph.value(name_of)
            steps = real.permute(0, 2, 3, 1).numpy() / value.scale[level] + value.zero_point
            apart = np.abs(got - np.rint(steps))
            assert apart.max() <= 1 and (apart > 0).mean() < 0.02, name_of


@pytest.mark.parametrize(("name", "weights", "products"), [
    ("det_mobilenetv1", 83_732, 19_059_200), ("ssdlite_mobilenetv2", 454_834, 25_828_200),
])  # fmt: skip
def test_a_detector_is_as_large_as_its_page_says(name: str, weights: int, products: int) -> None:
    module = models.build(name, (160, 160, 1), 6)
    assert sum(p.numel() for p in module.parameters()) == weights
    assert macs(module, (160, 160, 1)) == products
