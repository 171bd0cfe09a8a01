"""Networks with attention, written as image networks write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Tokens(nn.Module):
    """A class token, embeddings of positions, and attention with a bias of distances: products,
    softmax and the operator that is all of them."""

    def __init__(self, width: int = 8, tokens: int = 35, classes: int = 5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 1)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.3)
        self.places = nn.Parameter(torch.randn(1, tokens + 1, width) * 0.3)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.more = nn.Linear(width, 3 * width)
        self.biases = nn.Parameter(torch.randn(2, 7))
        where = torch.arange(tokens + 1)
        self.register_buffer("distances", (where[:, None] - where).abs() % 7)
        self.head = nn.Linear(width, classes)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (n, heads, tokens, channels)."""
        n, tokens, width = x.shape
        return x.reshape(n, tokens, 3, 2, width // 6).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        q, k, v = self.split(self.qkv(self.norm(x)))
        scores = (q @ k.transpose(-2, -1)) * 0.5 + self.biases[:, self.distances]
        x = x + (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
        q, k, v = self.split(self.more(x))
        x = x + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return self.head(x[:, 0])  # type: ignore[no-any-return]


class Channels(nn.Module):
    """Attention between channels, that of a map's patches, and a map times a map of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 1)
        self.qkv = nn.Linear(6, 18)
        self.warmth = nn.Parameter(torch.rand(2, 1, 1) + 0.5)
        self.norm = nn.BatchNorm1d(6)
        self.weights = nn.Parameter(torch.rand(1, 1, 4, 6) + 0.5)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of a map of 4 x 6."""
        x = self.stem(x) * self.weights
        n, c, h, w = x.shape
        patches = x.reshape(n * c, h // 2, 2, w).transpose(1, 2).reshape(n, c, 2, h * w // 2)
        patches = patches.permute(0, 2, 3, 1).reshape(n * 2, h * w // 2, c)
        q, k, v = self.qkv(patches).chunk(3, -1)
        patches = patches + torch.bmm(torch.bmm(q, k.mT).softmax(-1), v)
        patches = self.norm(patches.flatten(0, 1)).view(n, h * w, c)
        q, k, v = self.qkv_of(patches, n)
        scores = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)) * self.warmth
        z = (scores.softmax(-1) @ v).permute(0, 3, 1, 2).reshape(n, h * w, c)
        return self.head(z.mean(1))  # type: ignore[no-any-return]

    def qkv_of(self, x: Tensor, n: int) -> tuple[Tensor, ...]:
        """Return three times the tokens, (n, heads, channels, tokens)."""
        both = torch.cat([x, x * 0.5, -x], 2).reshape(n, x.shape[1], 3, 2, 3)
        return both.permute(2, 0, 3, 4, 1).unbind(0)
