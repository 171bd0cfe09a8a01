"""Activation ranges: the largest value of all batches and, where they share it, of all levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from codegen.graph.ir import NEVER
from nestnet.frontend.tracing import trace
from nestnet.net.network import NestedNet, predict
from nestnet.net.quantize import Quantization, quantize
from nestnet.net.quantizer import Observer, calibration
from tests.support.nets import conv_bn, head

SHAPE = (7, 5, 3)
LEVELS = 3


def observers(net: NestedNet) -> list[Observer]:
    return [module for module in net.modules() if isinstance(module, Observer)]


def growing(last: nn.Module | None = None) -> NestedNet:
    """Return a network whose logits are about ten times larger at each level than at the one
    before."""
    torch.manual_seed(0)
    net = trace(nn.Sequential(conv_bn(3, 11), *head(11), *([last] if last else [])), SHAPE)
    net.set_levels(LEVELS)
    layer = net.weighted()["3"].module
    with torch.no_grad():
        layer.weight.fill_(10.0)
        layer.weight[:, :3], layer.weight[:, 3:7] = 0.1, 1.0
    level_map = torch.full((5, 11), NEVER, dtype=torch.uint8)
    level_map[:, :3], level_map[:, 3:7], level_map[:, 7:] = 0, 1, 2
    layer.set_level_map(level_map)
    return net


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 2, 67])
def test_no_level_saturates_for_being_larger_than_the_sparsest(count: int) -> None:
    net, images = growing(), pixels(count)
    plain = [predict(net, images, level) for level in range(LEVELS)]
    assert np.abs(plain[2]).max() > 5 * np.abs(plain[0]).max()
    quantize(net, images, Quantization(batch_size=8))
    for level in range(LEVELS):
        rounded = predict(net, images, level)
        step = float(net.observers[net.network.logits[0]].scale(level))  # type: ignore[operator]
        assert np.abs(rounded - plain[level]).max() < 4 * step


def test_levels_that_share_a_scale_agree_on_it() -> None:
    net = growing(nn.ReLU6())
    quantize(net, pixels(13))
    shared = [observer for observer in observers(net) if observer.shared]
    assert len(shared) == 1 and len(observers(net)) > 1
    assert len(set(shared[0].range.tolist())) == LEVELS
    scales = {float(shared[0].scale(level)) for level in range(LEVELS)}
    assert scales == {float(shared[0].range.max() / 255)}


@pytest.mark.parametrize(("zero_point", "largest"), [(-128, 3.0), (0, 5.0)])
def test_calibration_takes_the_largest_batch_in_any_order(zero_point: int, largest: float) -> None:
    batches = [torch.tensor([0.5, -0.5]), torch.tensor([3.0, -5.0]), torch.zeros(2)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        observer = Observer(zero_point)
        with calibration(observer):
            for index in order:
                observer(batches[index], 0)
        assert observer.range.tolist() == [largest], order


def test_zeros_alone_give_a_usable_scale_and_leave_no_trace() -> None:
    observer = Observer(0)
    with calibration(observer):
        observer(torch.zeros(5), 0)
    assert float(observer.scale(0)) == pytest.approx(1 / 127)
    observer.train()
    observer(torch.tensor([0.25]), 0)  # the first value, not a mean with the stand-in
    assert observer.range.tolist() == [0.25]


def test_training_follows_every_level_and_shares_the_largest() -> None:
    observer = Observer(0, shared=True)
    observer.set_levels(LEVELS)
    observer.train()
    for _ in range(200):
        for level, size in enumerate((1.0, 10.0, 100.0)):
            observer(torch.tensor([size]), level)
    assert observer.range.tolist() == pytest.approx([1.0, 10.0, 100.0])
    assert float(observer.scale(0)) == pytest.approx(100 / 127)
    for _ in range(3):
        observer(torch.tensor([200.0]), 2)
    assert 110 < float(observer.range[2]) < 120


def test_a_network_with_frozen_ranges_can_be_calibrated_again() -> None:
    net = growing()
    quantize(net, pixels(5) // 4 + 96)
    before = [observer.range.clone() for observer in observers(net)]
    net.train()
    net.freeze_observers()
    quantize(net, pixels(67))
    assert all(observer.frozen and observer.training for observer in observers(net))
    assert not any(observer.calibrating for observer in observers(net))
    changed = [not torch.equal(a, o.range) for a, o in zip(before, observers(net), strict=True)]
    assert all(changed)
    assert net.training


def test_earlier_checkpoints_with_one_shared_range_load() -> None:
    net = growing()
    quantize(net, pixels(5))
    state = net.state_dict()
    key = f"observers.{net.network.logits[0]}.range"
    state[key] = torch.tensor([7.0])
    net.load_state_dict(state)
    assert net.observers[net.network.logits[0]].range.tolist() == [7.0] * LEVELS
