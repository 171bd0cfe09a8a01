"""Networks with a normalization of their own give the same bits on every machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_inputs
from codegen.measure import compare
from tests.support.projects import Build

NORMALIZATIONS = {
    "to_tensor": (0.0, 1.0),
    "pixel_51": (0.2, 0.31),
    "half": (0.5, 0.5),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@pytest.mark.parametrize("board_id", ["host", "qemu_m4", "qemu_m7"])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_own_normalization_is_bit_exact(
    build: Build, name: str, board_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mean, std = NORMALIZATIONS[name]
    shape = (7, 11, 3)
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1, groups=1),
        nn.ReLU(), nn.Flatten(), nn.Linear(385, 4),
    )  # fmt: skip
    net = nestnet.nest(module, shape, sparsity=(0.8, 0.4), group="1x2", mean=mean, std=std)
    pixels = np.random.default_rng(2).integers(0, 256, (40, *shape), dtype=np.uint8)
    nestnet.quantize(net, pixels)
    path = nestnet.export(net, tmp_path_factory.mktemp("net") / f"{name}.nestnet")
    graph = nestfile.load(path)
    made = compare.compare(build(graph, board_id), graph, random_inputs(graph, 3, 1), None, (0, 1))
    assert made.bit_exact, "\n".join(map(str, made.differences))
