"""What a nested network returns in a training loop of the user's own: what the module returns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nestnet
from nestnet.net.network import predict
from tests.support.nets import conv_bn, head, images

SHAPE = (7, 5, 3)


def ending(*end: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(conv_bn(3, 7), conv_bn(7, 11, 1), *head(11, 5), *end)


@pytest.mark.parametrize("end", [nn.LogSoftmax(1), nn.Softmax(1)], ids=["log", "plain"])
@pytest.mark.parametrize("quantized", [False, True])
def test_softmax_at_the_end_stays(end: nn.Module, quantized: bool) -> None:
    net = nestnet.nest(ending(end), SHAPE, sparsity=(0.5, 0.2))
    pixels = np.random.default_rng(1).integers(0, 256, (11, *SHAPE), np.uint8)
    if quantized:
        nestnet.quantize(net, pixels)
    x = net.pixels.to_float(torch.from_numpy(pixels))
    for level in range(2):
        for mode in (True, False):
            copies = [copy.deepcopy(net).train(mode) for _ in range(2)]
            got, logits = copies[0](x, level), copies[1].logits(x, level)
            assert torch.equal(got, end(logits))
            assert not torch.equal(got, logits)
        assert torch.equal(torch.from_numpy(predict(net, pixels, level)), logits)


def test_softmax_is_computed_in_float() -> None:
    """As autocast does: in bfloat16 the sum of probabilities is off by a percent."""
    net = nestnet.nest(ending(nn.LogSoftmax(1)), SHAPE, sparsity=(0.0,))
    with torch.autocast("cpu", torch.bfloat16):
        got = net(images(SHAPE, 11, seed=1))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.exp().sum(1), torch.ones(11))


def test_own_loop_with_nll_loss_trains_as_the_module_does() -> None:
    """One level, no pruning: the same losses step by step; raw logits fall without bound."""
    module = ending(nn.LogSoftmax(1)).train()
    net = nestnet.nest(module, SHAPE, sparsity=(0.0,)).train()
    x, labels = images(SHAPE, 23, seed=2), torch.arange(23) % 5
    losses = []
    for model in (module, net):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        losses.append([])
        for _ in range(13):
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), labels)
            loss.backward()
            optimizer.step()
            losses[-1].append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert 0 < losses[1][-1] < losses[1][0]


class InEvaluationOnly(nn.Module):
    """Logits for the loss, probabilities for the user: a common way to write a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ending()

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return y if self.training else F.softmax(y, 1)


@pytest.mark.filterwarnings("ignore::nestnet.notices.Notice")
def test_softmax_of_evaluation_mode_stays_out_of_training() -> None:
    module = InEvaluationOnly()
    net = nestnet.nest(module, SHAPE, sparsity=(0.0,))
    x = images(SHAPE, 11, seed=3)
    torch.testing.assert_close(net.eval()(x), module.eval()(x))
    torch.testing.assert_close(net.train()(x), module.train()(x))


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_enter_as_they_lie(channels: int) -> None:
    """Of one channel too, where other strides would mean the same: PyTorch chooses its convolutions
    by them."""
    net = nestnet.nest(
        nn.Sequential(conv_bn(channels, 7), *head(7, 5)), (7, 5, channels), sparsity=0.0
    )
    x = torch.randn(2, 7, 5, channels).permute(0, 3, 1, 2)
    (entered,) = net.entered([x]).values()
    assert entered.stride() == x.stride()


@pytest.mark.parametrize("end", [
    (nn.AdaptiveAvgPool2d(1),), (nn.AdaptiveAvgPool2d(1), nn.Softmax(1)), (nn.MaxPool2d((7, 5)),),
])  # fmt: skip
def test_a_map_of_one_position_stays_a_map(end: tuple[nn.Module, ...]) -> None:
    """A loss with (n, c, 1, 1) would take (n, c) for another shape and broadcast."""
    torch.manual_seed(0)
    module = nn.Sequential(conv_bn(3, 4, 1), *end)
    net = nestnet.nest(module, SHAPE, sparsity=0.0)
    x = images(SHAPE, 3, 0)
    with torch.no_grad():
        got, logits = net.eval()(x), net.logits(x)
        wanted = module.eval()(x)
    assert got.shape == wanted.shape == (3, 4, 1, 1) and logits.shape == (3, 4)
    assert torch.allclose(got, wanted, atol=1e-5)
