"""What random modules are written with: variables, layers, lines."""

from __future__ import annotations

import random
from dataclasses import dataclass

Shape = tuple[int, int, int]
"""Channels, height, width of a map."""


@dataclass(frozen=True)
class Value:
    """A variable of ``forward`` and its shape."""

    name: str
    shape: Shape
    fresh: bool = False
    """Made by the last line and used nowhere else yet."""


class Lines:
    """The lines of one module, drawn at random."""

    def __init__(self, seed: int) -> None:
        """Start an empty module."""
        self.random = random.Random(seed)
        self.init: list[str] = []
        self.forward: list[str] = []
        self._names = 0

    def chance(self, probability: float) -> bool:
        """Return True with ``probability``."""
        return self.random.random() < probability

    def name(self, prefix: str) -> str:
        """Return a name not used yet."""
        self._names += 1
        return f"{prefix}{self._names}"

    def layer(self, prefix: str, constructor: str) -> str:
        """Add a layer; return the expression that names it."""
        name = self.name(prefix)
        self.init.append(f"self.{name} = {constructor}")
        return f"self.{name}"

    def assign(self, expression: str, shape: Shape) -> Value:
        """Add a line that makes a variable."""
        name = self.name("x")
        self.forward.append(f"{name} = {expression}")
        return Value(name, shape, fresh=True)
