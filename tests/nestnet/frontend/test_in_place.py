"""What is changed in place changes all that shares its memory, and no copy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from nestnet.net.ops.clamp import Clamp
from nestnet.net.ops.lookup import Lookup
from tests.support.wrapped import Call, Wrapper


def test_view_changed_in_place_is_refused() -> None:
    def function(x: Tensor) -> Tensor:
        flat = x.view(x.shape[0], -1)
        flat.clamp_(min=0)
        return x

    with pytest.raises(UserError, match="after a view of it was changed in place"):
        capture(Wrapper(Call(function)), (7, 5, 3))


class Changed(nn.Module):
    """Change a copy in place, and use it beside what it was copied from."""

    def __init__(self, change: object) -> None:
        super().__init__()
        self.behind = nn.Conv2d(5, 5, 1)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.change(x)) + x  # type: ignore[operator, no-any-return]


def _joined_alone(x: Tensor) -> Tensor:
    y = torch.cat([x], 1)
    y.sigmoid_()
    return y


COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu_ of a clone": lambda x: F.relu_(x.clone()),
    "silu in place of a clone": lambda x: F.silu(x.clone(), inplace=True),
    "a cat of one": _joined_alone,
    "a sum with 0": lambda x: F.relu_(sum([x])),  # type: ignore[arg-type]
    "another memory order": lambda x: F.relu_(
        x.clone(memory_format=torch.channels_last).contiguous()
    ),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_changed_in_place_leaves_the_original(change: Callable[[Tensor], Tensor]) -> None:
    network = capture(Wrapper(Changed(change)), (7, 5, 3)).network
    assert any(isinstance(stage, Clamp | Lookup) for stage in network.stages)


SHARED: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda x: x.detach(),
    "contiguous": lambda x: x.contiguous(),
    "Identity": nn.Identity(),
    "to": lambda x: x.to(torch.float32),
    "dropout in evaluation mode": lambda x: F.dropout(x, 0.3, False),
    "a view of the same shape": lambda x: x.view(x.shape),
}


@pytest.mark.parametrize("same", SHARED.values(), ids=SHARED)
def test_what_shares_memory_changes_the_original(same: Callable[[Tensor], Tensor]) -> None:
    """Then one limit is part of the convolution in front of both uses."""
    network = capture(Wrapper(Changed(lambda x: F.relu_(same(x)))), (7, 5, 3)).network
    assert not any(isinstance(stage, Clamp) for stage in network.stages)


def test_a_copy_of_a_view_outlives_a_change_of_what_is_viewed() -> None:
    def function(x: Tensor) -> Tensor:
        flat = x.flatten(2).clone()
        x.clamp_(min=0)
        return x + flat.unflatten(2, x.shape[2:])

    assert capture(Wrapper(Call(function)), (7, 5, 3)).network.stages
