"""Zeros around a map: which layers take them in, which padding stays, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.ops.avg_pool import AvgPool
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.ops.max_pool import MaxPool
from nestnet.net.ops.pad import Pad
from nestnet.net.stages import Stage

SHAPE = (9, 7, 3)


class Layers(nn.Module):
    """Layers that a forward of the test's joins; the first result is a map (4, 9, 7)."""

    def __init__(self, join: Callable[[Layers, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.join = nn.Conv2d(3, 4, 3, padding=1), join
        self.conv, self.point = nn.Conv2d(4, 5, 3, stride=2), nn.Conv2d(4, 5, 1)
        self.wide = nn.Conv2d(4, 4, 3, dilation=2, groups=4, padding=(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, self.first(x))


def stages(join: Callable[[Layers, Tensor], Tensor]) -> tuple[Stage, ...]:
    """Return the stages behind the first, which are proved to compute what the module does."""
    torch.manual_seed(1)
    return trace(Layers(join), SHAPE).network.stages[1:]


def kinds(join: Callable[[Layers, Tensor], Tensor]) -> list[str]:
    return [type(stage).__name__ for stage in stages(join)]


def test_a_convolution_pads_by_itself() -> None:
    (conv,) = stages(lambda net, x: net.conv(F.pad(x, (0, 1, 1, 2))))
    assert isinstance(conv, Conv2D) and conv.padding == (1, 0, 2, 1)
    (conv,) = stages(lambda net, x: net.wide(F.pad(x, (1, 0, 3, 2))))
    assert isinstance(conv, Conv2D) and conv.padding == (4, 4, 3, 3) and conv.dilation == (2, 2)


def test_paddings_of_paddings_are_one() -> None:
    (conv,) = stages(lambda net, x: net.conv(F.pad(F.pad(x, (1, 0, 0, 0)), (1, 0, 1, 0))))
    assert isinstance(conv, Conv2D) and conv.padding == (1, 2, 0, 0)


def test_windows_of_zeros_alone_are_left_to_a_padding() -> None:
    assert kinds(lambda net, x: net.point(F.pad(x, (0, 1, 0, 0)))) == ["Pad", "Conv2D"]
    assert kinds(lambda net, x: net.conv(F.pad(x, (3, 0, 0, 0)))) == ["Pad", "Conv2D"]
    assert kinds(lambda net, x: net.wide(F.pad(x, (2, 0, 0, 0)))) == ["Pad", "Conv2D"]


def test_a_mean_counts_the_zeros_and_not_its_own_where_it_says_so() -> None:
    def join(net: Layers, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (1, 0, 0, 1)), 3, 2, 1, count_include_pad=False)

    (pool,) = stages(join)
    assert isinstance(pool, AvgPool)
    assert (pool.window.padding, pool.counted) == ((1, 2, 2, 1), (0, 1, 1, 0))


def test_zeros_never_win_against_what_is_not_negative() -> None:
    (pool,) = stages(lambda net, x: F.max_pool2d(F.pad(F.relu(x), (1, 1, 0, 1)), 3, 2))
    assert isinstance(pool, MaxPool) and pool.window.padding == (0, 1, 1, 1)
    assert kinds(lambda net, x: F.max_pool2d(F.pad(x, (1, 1, 0, 1)), 3, 2)) == ["Pad", "MaxPool"]


def test_what_is_less_than_any_number_never_wins() -> None:
    least = float("-inf")
    (pool,) = stages(lambda net, x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=least), 2, 1))
    assert isinstance(pool, MaxPool) and pool.window.padding == (0, 0, 1, 1)


def test_a_map_of_one_channel_is_padded_like_others() -> None:
    """Its rows lie in memory as channels would."""

    class One(nn.Module):
        def __init__(self, cut: int) -> None:
            super().__init__()
            self.cut = cut
            self.first, self.last = nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(1, 5, 3, stride=2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.first(x)[:, :, self.cut :]
            pool = F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=float("-inf")), 2, 2)
            return self.last(F.pad(x, (0, 1, 0, 1))), pool

    for cut in (0, 2):
        found = [type(stage).__name__ for stage in trace(One(cut), SHAPE).network.stages]
        moves = ["Rearrange"] * (cut > 0)
        assert sorted(found) == ["Conv2D", "Conv2D", "MaxPool", *moves]


def test_a_padding_stays_for_those_who_need_it() -> None:
    def join(net: Layers, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1))
        return torch.cat([net.conv(x).mean((2, 3)), F.max_pool2d(x, 3).mean((2, 3))], 1)

    found = stages(join)
    pad = next(stage for stage in found if isinstance(stage, Pad))
    conv = next(stage for stage in found if isinstance(stage, Conv2D))
    pool = next(stage for stage in found if isinstance(stage, MaxPool))
    assert conv.input == pad.input and pool.input == pad.output


def test_channels_are_added_by_a_padding() -> None:
    """The shortcut of a narrow residual network: every second position, and channels of zeros."""

    def join(net: Layers, x: Tensor) -> Tensor:
        short = F.pad(F.relu(x)[:, :, ::2, ::2], (0, 0, 0, 0, 0, 1))
        return net.conv(F.pad(x, (1, 1, 1, 1))) + short

    found = stages(join)
    assert [type(stage).__name__ for stage in found] == ["Clamp", "Rearrange", "Pad", "Conv2D"]
    pad = found[2]
    assert isinstance(pad, Pad) and (pad.before, pad.after) == ((0, 0, 0), (0, 0, 1))
    assert pad.non_negative((True,)) and not pad.non_negative((False,))


@pytest.mark.parametrize(
    ("pads", "expected"),
    [
        ((0, 0), []),
        ((-1, -2, -1, 0), ["Rearrange"]),
        ((-1, 1, 0, 0), ["Rearrange", "Pad"]),
        ((1, 1, -1, -1, 0, -1), ["Rearrange", "Pad"]),
    ],
)
def test_negative_padding_cuts(pads: tuple[int, ...], expected: list[str]) -> None:
    assert kinds(lambda net, x: F.pad(x, pads)) == expected


def test_tokens_and_vectors_are_padded_along_their_own_axes() -> None:
    (_, pad) = stages(lambda net, x: F.pad(x.flatten(2).transpose(1, 2), (0, 0, 1, 0)))
    assert isinstance(pad, Pad) and (pad.before, pad.after) == ((0, 1, 0), (0, 0, 0))
    assert kinds(lambda net, x: F.pad(x.mean((2, 3)), (1, 2)))[-1] == "Pad"


@pytest.mark.parametrize(
    ("join", "words"),
    [
        (lambda net, x: F.pad(x, (1, 1), value=0.5), "another number than 0"),
        (lambda net, x: F.pad(x, (1, 1), value=float("-inf")).relu(), "another number than 0"),
        (lambda net, x: F.max_pool2d(F.pad(x, (3, 1), value=float("-inf")), 3),
         "in front of a larger max pool"),
        (lambda net, x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "reflect padding"),
        (lambda net, x: F.pad(x, (1, 1, 1, 1), mode="replicate"), "replicate padding"),
    ],
)  # fmt: skip
def test_other_padding_is_refused(join: Callable[[Layers, Tensor], Tensor], words: str) -> None:
    with pytest.raises(UserError, match=words):
        capture(Layers(join), SHAPE)
