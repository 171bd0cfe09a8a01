"""The nested network: levels, masks, gradient routing, statistics, state."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph.ir import NEVER
from nestnet.frontend.tracing import trace
from nestnet.models import build
from nestnet.net.network import NestedNet, predict, to_float_input
from nestnet.net.ops.conv2d import NestedConv
from nestnet.net.ops.linear import NestedLinear
from nestnet.net.quantize import quantize
from tests.support.nets import conv_bn, head, images

SHAPE = (7, 5, 3)
LEVELS = 3
GROUP = 4


def small() -> nn.Module:
    """Return a module with one prunable convolution of 7 input channels and a prunable linear."""
    torch.manual_seed(3)
    return nn.Sequential(
        conv_bn(3, 7), conv_bn(7, 11, 2), nn.Flatten(), nn.Linear(88, 13), nn.ReLU(),
        nn.Linear(13, 3),
    )  # fmt: skip


def nested(seed: int = 0) -> NestedNet:
    """Return the small network with random level maps at ``LEVELS`` levels."""
    net = trace(small(), SHAPE)
    net.set_levels(LEVELS)
    install_maps(net, seed)
    return net


def install_maps(net: NestedNet, seed: int) -> None:
    """Give every prunable layer a random level map that has groups no level contains."""
    generator = torch.Generator().manual_seed(seed)
    for layer in net.prunable().values():
        out_c, in_c, *kernel = layer.weight.shape
        shape = (out_c, -(-in_c // GROUP), *kernel)
        level_map = torch.randint(0, LEVELS + 1, shape, generator=generator)
        level_map[level_map == LEVELS] = NEVER
        layer.module.set_level_map(level_map, GROUP)


def expected_mask(layer: NestedConv | NestedLinear, level: int) -> Tensor:
    """Return the mask, group by group."""
    mask = torch.zeros_like(layer.weight)
    assert layer.level_map is not None
    for index in np.ndindex(*layer.level_map.shape):
        out, group, *kernel = index
        if int(layer.level_map[index]) <= level:
            position = (out, slice(group * GROUP, (group + 1) * GROUP), *kernel)
            mask[position] = 1.0
    return mask


def test_prunable_leaves_out_first_last_and_grouped() -> None:
    assert list(trace(small(), SHAPE).prunable()) == ["1.0", "3"]
    mobile = trace(build("mobilenetv1@0.25", (32, 32, 3), 10), (32, 32, 3))
    assert list(mobile.prunable()) == [f"blocks.{block}.pointwise" for block in range(13)]


def test_prunable_with_own_dense_layers() -> None:
    net = trace(small(), SHAPE)
    assert list(net.prunable(dense_layers=["1.0"])) == ["0.0", "3", "5"]
    with pytest.raises(UserError, match=r"no such layer; got conv9, expected 0.0, 1.0, 3, 5"):
        net.prunable(dense_layers=["conv9"])


def test_positions_times_weights_are_macs() -> None:
    layers = trace(build("resnet8", (32, 32, 3), 10), (32, 32, 3)).weighted()
    assert sum(item.weight.numel() * item.positions for item in layers.values()) == 12_501_632


def test_masks_follow_the_level_map() -> None:
    net = nested()
    for layer in net.prunable().values():
        for level in range(LEVELS):
            mask = layer.module.mask(level)
            assert mask is not None and torch.equal(mask, expected_mask(layer.module, level))
            assert torch.equal(layer.module.effective_weight(level), layer.weight * mask)
    assert net.weighted()["0.0"].module.mask(0) is None


def test_masks_follow_changes_in_place() -> None:
    layer = nested().prunable()["1.0"].module
    before = layer.mask(0)
    assert layer.level_map is not None
    layer.level_map.fill_(0)
    after = layer.mask(0)
    assert before is not None and after is not None
    assert not torch.equal(before, after) and bool((after == 1).all())


def test_level_map_of_wrong_shape_is_refused() -> None:
    layer = nested().prunable()["1.0"].module
    with pytest.raises(ValueError, match="level map has shape"):
        layer.set_level_map(torch.zeros(11, 7, 2, 2), GROUP)


def test_weights_outside_a_level_have_no_effect() -> None:
    net = nested().eval()
    x = images(SHAPE, 5, seed=1)
    wanted = [net(x, level) for level in range(LEVELS)]
    with torch.no_grad():
        for layer in net.prunable().values():
            densest = layer.module.mask(LEVELS - 1)
            assert densest is not None
            layer.module.weight += 7.0 * (1 - densest)
    for level in range(LEVELS):
        assert torch.equal(net(x, level), wanted[level])


@pytest.mark.parametrize("level", range(LEVELS))
@pytest.mark.parametrize("quantize", [False, True])
def test_gradient_routing(level: int, quantize: bool) -> None:
    for routing in ("shared", "shell"):
        net = nested().train()
        net.set_quantize(quantize)
        net.set_grad_routing(routing)
        net(images(SHAPE, 11, seed=2), level).square().sum().backward()
        for name, layer in net.prunable().items():
            contained = expected_mask(layer.module, level).bool()
            below = expected_mask(layer.module, level - 1).bool()
            allowed = contained if routing == "shared" else contained & ~below
            grad = layer.weight.grad
            assert grad is not None
            assert bool((grad[~allowed] == 0).all()), (routing, name)
            assert float((grad[allowed] != 0).float().mean()) > 0.5, (routing, name)


def test_both_routings_compute_the_same_outputs() -> None:
    net = nested().eval()
    x = images(SHAPE, 5, seed=3)
    shared = net(x, 1)
    net.set_grad_routing("shell")
    assert torch.equal(net(x, 1), shared)


def test_batch_norm_is_separate_per_level() -> None:
    net = nested().train()
    norms = [step.norm for step in net.steps if step.norm is not None]
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    net(images(SHAPE, 11, seed=4), 1).sum().backward()
    for norm, (mean, var) in zip(norms, before, strict=True):
        assert not torch.equal(norm.running_mean[1], mean[1])
        for level in (0, 2):
            assert torch.equal(norm.running_mean[level], mean[level])
            assert torch.equal(norm.running_var[level], var[level])
            assert norm.weight[level].grad is None
        assert norm.weight[1].grad is not None


def test_set_levels_copies_the_densest_level() -> None:
    net = trace(small(), SHAPE).train()
    net(images(SHAPE, 11, seed=5))
    x = images(SHAPE, 3, seed=6)
    wanted = net.eval()(x)
    net.set_levels(5)
    for level in range(5):
        assert torch.equal(net(x, level), wanted)


@pytest.mark.parametrize("count", [0, 17])
def test_impossible_level_counts(count: int) -> None:
    with pytest.raises(UserError, match="impossible number of levels"):
        trace(small(), SHAPE).set_levels(count)


def test_wrong_level_and_shape_are_refused() -> None:
    net = nested()
    with pytest.raises(UserError, match=r"no such level; got 3, expected 0\.\.2"):
        net(images(SHAPE, 1, seed=0), 3)
    with pytest.raises(UserError, match="wrong shape"):
        net(images((5, 7, 3), 1, seed=0), 0)


def test_state_loads_strictly_into_a_fresh_network() -> None:
    net = nested().train()
    quantize(net, np.random.default_rng(0).integers(0, 256, (9, *SHAPE), dtype=np.uint8))
    net.set_quantize(False)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    fresh = trace(build_other(), SHAPE)
    fresh.set_levels(LEVELS)
    fresh.load_state_dict(state, strict=True)
    x = images(SHAPE, 5, seed=7)
    net.eval(), fresh.eval()
    for quantized in (False, True):
        net.set_quantize(quantized), fresh.set_quantize(quantized)
        for level in range(LEVELS):
            assert torch.equal(net(x, level), fresh(x, level))
    dense = trace(small(), SHAPE)
    dense.set_levels(LEVELS)
    fresh.load_state_dict(dense.state_dict(), strict=True)
    assert all(layer.module.level_map is None for layer in fresh.prunable().values())


def build_other() -> nn.Module:
    """Return the small module with other weights."""
    module = small()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def test_parameter_names_are_the_users() -> None:
    names = {name for name, _ in trace(small(), SHAPE).named_parameters()}
    assert {"body.0.0.weight", "body.0.1.weight.0", "body.3.weight", "body.3.bias"} <= names


class OwnWeights(nn.Module):
    """Layers written in one module, with a batch norm below it that runs before them."""

    def __init__(self, child: str) -> None:
        super().__init__()
        self.child = child
        self.weight = nn.Parameter(torch.randn(5, 5, 3, 3) * 0.2)
        self.gain, self.shift = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(5))
        self.register_buffer("running_mean", torch.randn(5))
        self.register_buffer("running_var", torch.rand(5) + 0.5)
        self.add_module(child, nn.BatchNorm2d(5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.relu(self.get_submodule(self.child)(x)), self.weight, padding=1)
        mean, var = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(x, mean, var, self.gain, self.shift, self.training)


@pytest.mark.parametrize("child", ["norm", "mask", "stride"])
def test_layers_below_a_module_with_weights_of_its_own(child: str) -> None:
    """All of them are in the network, whatever they are called and whichever runs first."""
    torch.manual_seed(6)
    module = nn.Sequential(nn.Conv2d(3, 5, 3), OwnWeights(child), *head(5))
    net = trace(module, SHAPE)
    net.set_levels(2)
    owned = {id(parameter) for parameter in net.parameters()}
    for step in net.steps:
        for part in (step.layer, step.norm):
            assert part is None or {id(p) for p in part.parameters()} <= owned
    assert len(owned) == 2 + 2 * 2 + 1 + 2 * 2 + 2
    names = {name for name, _ in net.named_parameters()}
    assert {"body.1.weight", "body.1_2.weight.1"} <= names
    x = images(SHAPE, 3, seed=9)
    assert torch.equal(net.eval()(x, 0), net(x, 1))
    fresh = trace(module, SHAPE)
    fresh.set_levels(2)
    fresh.load_state_dict(net.state_dict(), strict=True)


@pytest.mark.parametrize("grad", [True, False])
def test_frozen_parameters_stay_frozen(grad: bool) -> None:
    """At every level, batch norm's affine and a reordered linear layer included."""
    module = small()
    frozen = ("0.0.weight", "0.1.bias", "1.1.weight", "3.weight", "5.bias")
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)
    with torch.set_grad_enabled(grad):
        net = trace(module, SHAPE)
    net.set_levels(LEVELS)
    wanted = {
        "body.0.0.weight", "body.3.weight", "body.5.bias",
        *(f"body.{name}.{level}" for name in ("0.1.bias", "1.1.weight") for level in range(LEVELS)),
    }  # fmt: skip
    assert {name for name, p in net.named_parameters() if not p.requires_grad} == wanted
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD((p for p in net.parameters() if p.requires_grad), lr=0.1)
    for level in range(LEVELS):
        net.train()(images(SHAPE, 11, seed=level), level).square().sum().backward()
    optimizer.step()
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert not moved & wanted and "body.1.0.weight" in moved
    assert module[3].weight.grad is None and all(
        p.requires_grad == (name not in frozen) for name, p in module.named_parameters()
    )


def test_deepcopy_is_independent() -> None:
    net = nested().eval()
    x = images(SHAPE, 3, seed=8)
    wanted = net(x, 1)
    clone = copy.deepcopy(net)
    assert torch.equal(clone(x, 1), wanted)
    for layer in clone.prunable().values():
        layer.module.set_level_map(torch.zeros_like(layer.module.level_map), GROUP)  # type: ignore[arg-type]
    assert not torch.equal(clone(x, 1), wanted)
    assert torch.equal(net(x, 1), wanted)


def test_bfloat16_autocast_trains() -> None:
    net = nested().train()
    for quantized in (False, True):
        net.set_quantize(quantized)
        with torch.autocast("cpu", torch.bfloat16):
            net(images(SHAPE, 11, seed=9), 1).float().sum().backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_quantized_values_lie_on_the_grid() -> None:
    net = nested()
    pixels = np.random.default_rng(1).integers(0, 256, (16, *SHAPE), dtype=np.uint8)
    quantize(net, pixels)
    for level in range(LEVELS):
        logits = predict(net, pixels, level)
        observer = net.observer(net.network.logits[0])
        assert observer is not None
        steps = logits / float(observer.scale(level))
        assert np.abs(steps - np.rint(steps)).max() < 1e-4
        assert len(np.unique(np.rint(steps))) > 5


def test_observers_freeze_and_are_per_level() -> None:
    net = nested().train()
    net.set_quantize(True)
    net(images(SHAPE, 11, seed=10), 1)
    first = net.observer(net.steps[0].stage.output)
    assert first is not None
    assert [bool(x > 0) for x in first.range] == [False, True, False]
    net.freeze_observers()
    before = first.range.clone()
    net(images(SHAPE, 11, seed=11), 1)
    assert torch.equal(first.range, before)


def test_predict_leaves_modes_alone_and_matches_forward() -> None:
    net = nested().train()
    pixels = np.random.default_rng(2).integers(0, 256, (13, *SHAPE), dtype=np.uint8)
    got = predict(net, pixels, 0, batch_size=5)
    assert net.training
    with torch.no_grad():
        wanted = net.eval()(to_float_input(pixels), 0).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_input_conversion() -> None:
    pixels = np.array([0, 128, 255, 64], np.uint8).reshape(1, 2, 2, 1)
    got = to_float_input(pixels)
    assert got.shape == (1, 1, 2, 2)
    assert got.flatten().tolist() == [-2.0, 0.0, 127 / 64, -1.0]


def test_head_is_reached() -> None:
    net = trace(nn.Sequential(conv_bn(3, 5), *head(5, 7)), SHAPE)
    assert net.classes == 7 and net.input_shape == SHAPE
