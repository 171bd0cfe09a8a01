"""A network whose depthwise layers lack whole channels at some levels."""

from __future__ import annotations

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph


def channel_graph(seed: int = 5) -> Graph:
    """Return two depthwise layers, 3x3 on 7 channels and 5x5 stride 2 on 11, between others."""
    same, wide = (1, 1, 1, 1), (2, 2, 2, 2)
    net = GraphBuilder((9, 13, 3), 2, seed, "channels")
    stem = net.conv("input", 7, (3, 3), padding=same)
    first = net.conv(stem, 7, (3, 3), padding=same, groups=7, densities=(0.3, 0.9))
    mixed = net.conv(first, 11, (1, 1), group=4, densities=(0.5, 0.8))
    net.conv(mixed, 11, (5, 5), stride=(2, 2), padding=wide, groups=11, densities=(0.2, 0.8))
    net.linear(net.last, 5)
    return net.graph()
