"""Parts: which elements a slice, an entry or a result of splitting is, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.ops.rearrange import Rearrange
from tests.support.nets import head

SHAPE = (7, 5, 3)


class Cut(nn.Module):
    """A convolution to (8, 7, 5) and a part of its result."""

    def __init__(self, cut: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.cut = nn.Conv2d(3, 8, 3, padding=1), cut

    def forward(self, x: Tensor) -> Tensor:
        return self.cut(self.first(x))


@pytest.mark.parametrize(
    ("cut", "offset", "loops"),
    [
        (lambda x: x[:, -3:], 5, ((35, 8), (3, 1))),
        (lambda x: x[:, :-3], 0, ((35, 8), (5, 1))),
        (lambda x: x[:, 1:99], 1, ((35, 8), (7, 1))),
        (lambda x: x[:, 1::3], 1, ((35, 8), (3, 3))),
        (lambda x: x[:, -1], 7, ((35, 8),)),
        (lambda x: x[..., -1, 2:4], 6 * 40 + 16, ((16, 1),)),
        (lambda x: x[:, None, 3], 3, ((35, 8),)),
        (lambda x: x.narrow(2, -2, 2), 5 * 40, ((80, 1),)),
        (lambda x: x.chunk(3, 2)[2], 6 * 40, ((40, 1),)),
        (lambda x: x.split(3, 3)[1], 3 * 8, ((7, 40), (16, 1))),
        (lambda x: x.split([1, 4, 3], -3)[1], 1, ((35, 8), (4, 1))),
        (lambda x: x.tensor_split(3, 2)[1], 3 * 40, ((80, 1),)),
        (lambda x: x.tensor_split((2, -1), 2)[1], 2 * 40, ((160, 1),)),
        (lambda x: x.unbind(-1)[-2], 3 * 8, ((7, 40), (8, 1))),
        (lambda x: x.flatten(1)[:, 35:70], 1, ((35, 8),)),
        (lambda x: x.flatten(2)[:, :, 33], 33 * 8, ((8, 1),)),
    ],
)
def test_a_part_is_where_python_says(
    cut: Callable[[Tensor], Tensor], offset: int, loops: object
) -> None:
    """What is traced is compared with the module; that nothing else moves is compared here."""
    network = trace(Cut(cut), SHAPE).network
    (found,) = (stage for stage in network.stages if isinstance(stage, Rearrange))
    assert (found.offset, found.loops) == (offset, loops)


def test_a_part_that_is_all_is_nothing() -> None:
    network = trace(Cut(lambda x: x[:, 0:8, :].split(7, 2)[0][:]), SHAPE).network
    assert len(network.stages) == 1


class FoldedShortcut(nn.Module):
    """A residual block of which a part of the input is added to a part of the result."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
        self.head = nn.Sequential(*head(4))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.head(self.second(x) + x[:, ::2])  # type: ignore[no-any-return]


def test_a_part_is_added_in_the_layer_that_makes_the_other_operand() -> None:
    network = trace(FoldedShortcut(), SHAPE).network
    names = [type(stage).__name__ for stage in network.stages]
    assert names[:4] == ["Conv2D", "Rearrange", "Conv2D", "AvgPool"]


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda x: x[1:], "images of a batch are picked"),
        (lambda x: x[0], "images of a batch are picked"),
        (lambda x: x[:, [0, 2]], "slices: x"),
    ],
)
def test_other_parts_are_refused(cut: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(UserError, match=words):
        capture(Cut(cut), SHAPE)
