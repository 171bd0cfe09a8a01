"""Moves: what of a module becomes none, one or several, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.ops.linear import Linear
from nestnet.net.ops.rearrange import Rearrange
from nestnet.net.stages import Network, Stage
from tests.support.nets import images

SHAPE = (7, 5, 3)


class Moved(nn.Module):
    """A convolution to (8, 7, 5), what moves its result, and a convolution where ``out_c`` says of
    how many channels."""

    def __init__(self, move: Callable[[Tensor], Tensor], out_c: int = 0) -> None:
        super().__init__()
        self.first, self.move = nn.Conv2d(3, 8, 3, padding=1), move
        self.last = nn.Conv2d(out_c, 2, 1) if out_c else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.move(self.first(x)))  # type: ignore[no-any-return]


def traced(move: Callable[[Tensor], Tensor], out_c: int = 0) -> Network:
    """Return the network, which is proved to compute what the module does."""
    torch.manual_seed(1)
    return trace(Moved(move, out_c), SHAPE).network


def kinds(network: Network) -> list[str]:
    """Return the names of the stages' classes behind the first convolution."""
    return [type(stage).__name__ for stage in network.stages[1:]]


def moves(network: Network) -> list[Rearrange]:
    """Return the stages that move something."""
    return [stage for stage in network.stages if isinstance(stage, Rearrange)]


@pytest.mark.parametrize(
    ("move", "loops"),
    [
        (lambda x: F.channel_shuffle(x, 2), ((35, 8), (4, 1), (2, 4))),
        (lambda x: x.view(-1, 2, 4, 7, 5).transpose(1, 2).reshape(-1, 8, 7, 5),
         ((35, 8), (4, 1), (2, 4))),
        (lambda x: x.permute(0, 3, 1, 2).permute(0, 3, 2, 1)[:, :, 1:, :3],
         ((7, 40), (3, 8), (7, 1))),
        (lambda x: x[:, 2:][:, :4][:, 1:, 2], ((5, 8), (3, 1))),
        (lambda x: x.chunk(2, 1)[1].flip(2), ((7, -40), (5, 8), (4, 1))),
        (lambda x: F.pixel_shuffle(x, 2)[:, :, :2], ((2, 2), (5, 8), (2, 1), (2, 4))),
    ],
)  # fmt: skip
def test_moves_of_moves_are_one(move: Callable[[Tensor], Tensor], loops: object) -> None:
    network = traced(move)
    (found,) = moves(network)
    assert found.loops == loops


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), []),
        (lambda x: x[:, :, :], []),
        (lambda x: x.contiguous().view(x.shape).clone(), []),
        (lambda x: x.flatten(2).transpose(1, 2), ["Reshape"]),
        (lambda x: torch.tanh(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + x,
         ["Reshape", "Lookup", "Reshape", "Add"]),
        (lambda x: torch.tanh(x.view(-1, 2, 4, 7, 5)).flatten(1, 2),
         ["Rearrange", "Lookup", "Rearrange"]),
        (lambda x: F.pixel_shuffle(F.pixel_unshuffle(x[:, :, :6, :4], 2), 2), ["Rearrange"]),
        (lambda x: F.channel_shuffle(F.channel_shuffle(x, 2), 4), []),
    ],
)  # fmt: skip
def test_what_moves_nothing_costs_nothing(
    move: Callable[[Tensor], Tensor], expected: list[str]
) -> None:
    assert kinds(traced(move)) == expected


def test_what_is_cut_across_is_laid_in_a_row_first() -> None:
    network = traced(lambda x: x.reshape(-1, 7, 8, 5))
    assert kinds(network) == ["Rearrange", "Reshape"]
    network = traced(lambda x: x.flatten(1)[:, 3:138])
    assert kinds(network) == ["Rearrange", "Rearrange"]


def test_a_layer_of_maps_gets_its_channels_last() -> None:
    """Whatever the axes were called in between."""
    network = traced(lambda x: x.transpose(1, 3), out_c=5)
    assert kinds(network) == ["Rearrange", "Conv2D"]
    conv = network.stages[-1]
    assert isinstance(conv, Conv2D) and network.tensor(conv.input).shape == (7, 8, 5)


def test_tokens_have_their_channels_last() -> None:
    network = traced(lambda x: F.silu(x.flatten(2).transpose(1, 2)))
    tokens = network.tensor(network.outputs[0])
    assert (tokens.torch_shape, tokens.channel_axis, tokens.shape) == ((35, 8), 1, (1, 35, 8))


def test_a_vector_is_moved_to_a_map_and_a_map_to_a_linear_layer_is_not() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(105, 30), nn.Linear(30, 6 * 5)
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.up(F.relu(self.down(x.flatten(1))))
            return self.conv(x.view(-1, 3, 5, 2))  # type: ignore[no-any-return]

    network = trace(Decoder(), SHAPE).network
    found = [type(stage).__name__ for stage in network.stages]
    assert found == ["Reshape", "Linear", "Linear", "Rearrange", "Conv2D"]
    first = network.stages[1]
    assert isinstance(first, Linear) and network.tensor(first.input).flat_from == SHAPE


def test_two_readers_of_a_view_share_what_is_moved() -> None:
    def twice(x: Tensor) -> Tensor:
        half = x.chunk(2, 1)[1]
        return torch.cat([torch.tanh(half), F.silu(half)], 1)

    assert kinds(traced(twice)) == ["Rearrange", "Lookup", "Lookup", "Concat"]


def test_an_activation_behind_a_move_becomes_the_limits_of_the_layer_before_it() -> None:
    network = traced(lambda x: F.relu(F.channel_shuffle(x, 2)))
    assert kinds(network) == ["Rearrange"]
    (conv, moved) = network.stages
    assert isinstance(conv, Conv2D) and conv.act.lo == 0 and moved.output == "relu"
    read_twice = traced(lambda x: F.relu(F.channel_shuffle(x, 2)) + x)
    assert kinds(read_twice) == ["Rearrange", "Clamp", "Add"]


def part_in_place(x: Tensor) -> Tensor:
    half = x[:, :4]
    half.relu_()
    return half + x[:, 4:]


def before_in_place(x: Tensor) -> Tensor:
    half = x[:, :4]
    x.relu_()
    return half


@pytest.mark.parametrize("move", [part_in_place, before_in_place])
def test_a_view_and_what_it_is_of_are_not_changed_in_place(move: object) -> None:
    with pytest.raises(UserError, match="after a view of it was changed in place"):
        traced(move)  # type: ignore[arg-type]


def test_a_copy_of_a_view_may_be_changed_in_place() -> None:
    def change(x: Tensor) -> Tensor:
        half = x[:, :4].clone()
        half.relu_()
        return half + x[:, 4:]

    network = traced(change)
    assert kinds(network) == ["Rearrange", "Clamp", "Rearrange", "Add"]


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (lambda x: x[1:], "images of a batch are picked"),
        (lambda x: x.permute(1, 0, 2, 3), "images are not the first dimension"),
        (lambda x: F.interpolate(x, (10, 10)), "nearest upsampling by a fraction"),
        (lambda x: x.reshape(-1, 4, 7, 5), "more than the images in its first dimension"),
        (lambda x: x.repeat(2, 1, 1, 1), "repetition of the batch"),
        (lambda x: torch.cat(x.unbind(0)), "images of a batch are picked"),
    ],
)
def test_what_mixes_images_is_refused(move: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(UserError, match=words):
        capture(Moved(move), SHAPE)


def test_training_moves_gradients_back() -> None:
    module = Moved(lambda x: F.pixel_shuffle(x.flip(2).repeat(1, 1, 2, 1), 2), 2)
    net = trace(module, SHAPE)
    x = images(SHAPE, 3, 1)
    for each in (net, module):
        each.zero_grad()
        each(x).square().sum().backward()
    wanted = {name: each.grad for name, each in module.named_parameters()}
    (first,) = [layer for name, layer in net.weighted().items() if name == "first"]
    torch.testing.assert_close(first.weight.grad, wanted["first.weight"])


def test_stages_say_what_moves() -> None:
    (stage,) = moves(traced(lambda x: x[:, 3:6]))
    assert isinstance(stage, Stage) and stage.offset == 3 and stage.loops == ((35, 8), (3, 1))
    assert stage.non_negative((True,)) and not stage.non_negative((False,))
