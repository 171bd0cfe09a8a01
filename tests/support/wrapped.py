"""Modules around what a test is about."""

from __future__ import annotations

from torch import Tensor, nn

from tests.support.nets import head


class Wrapper(nn.Module):
    """A small network with ``middle`` between convolution and head."""

    def __init__(self, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.middle = middle
        self.head = nn.Sequential(*head(5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x if self.middle is None else self.middle(x))


class Call(nn.Module):
    """Apply a function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator, no-any-return]
