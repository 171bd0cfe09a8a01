"""Networks of convolutions that join their maps as they read them, whatever RAM that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.rearrange import Loop
from codegen.passes.join_parts import joinable, joined

SAME = (1, 1, 1, 1)


def all_joined(graph: Graph) -> Graph:
    """Return ``graph`` with every convolution joining its map that can."""
    return joined(graph, joinable(graph))


def enlarged(net: GraphBuilder, source: str, rows: int, columns: int) -> str:
    """Append the nearest-neighbour upsampling of ``source``, so often as large."""
    height, width, c = net.shape(source)
    loops: list[Loop] = [(height, width * c), (rows, 0), (width, c), (columns, 0), (c, 1)]
    return net.rearrange(source, (rows * height, columns * width, c), 0, loops)


def parts_graph() -> Graph:
    """Return joined maps of one to four parts: enlarged, sliced, flipped, taken apart and as they
    lie; of the network's input, of a value twice; with strides, padding, residuals, 1 x 1 kernels;
    of dense layers and of nested ones of every group size."""
    net = GraphBuilder((6, 5, 3), 3, 71, "parts")

    def nested(group: int) -> dict[str, Any]:
        return {"group": group, "densities": (0.1, 0.3, 0.7), "relu": False}

    dense: dict[str, Any] = {"relu": False}
    small = net.conv("input", 7, (3, 3), padding=SAME, **nested(4))
    large = net.conv(enlarged(net, small, 2, 3), 5, (3, 3), padding=SAME, **nested(2))
    both = net.concat([enlarged(net, small, 2, 3), large])
    wide = net.conv(both, 5, (3, 3), padding=SAME, residual=large, **nested(4))
    both = net.concat([wide, enlarged(net, small, 2, 3)])
    wide = net.conv(both, 5, (3, 1), padding=(2, 0, 0, 0), residual=wide, **dense)
    corners = [
        net.rearrange(wide, (6, 5, 5), 75 * y + 5 * x, [(6, 150), (5, 15), (5, 1)])
        for y, x in ((0, 0), (1, 0), (0, 2))
    ]
    narrow = net.conv(net.concat([*corners, "input"]), 11, (1, 1), **nested(1))
    ends = net.rearrange(narrow, (6, 5, 4), 7, [(6, 55), (5, 11), (4, 1)])
    flipped = net.rearrange(small, (6, 5, 7), 203, [(6, -35), (5, -7), (7, 1)])
    thrice = net.concat([flipped, net.concat([ends, small])])
    strided = net.conv(thrice, 6, (3, 2), stride=(2, 1), padding=(1, 0, 0, 1), **dense)
    both = net.concat([enlarged(net, narrow, 1, 2), enlarged(net, small, 1, 2)])
    skips = {"stride": (3, 2), "padding": (0, 2, 0, 0)}
    skipping = net.conv(both, 9, (1, 3), **skips, **nested(2))  # reads every third row
    lower = net.rearrange(strided, (2, 5, 6), 30, [(2, 30), (30, 1)])
    net.conv(net.concat([skipping, lower]), 4, (2, 2), padding=(1, 0, 1, 1), **nested(1))
    net.linear(net.last, 5)
    return net.graph()


def unet(size: int, widths: Sequence[int]) -> Graph:
    """Return a U-Net on (size, size, 3) images: enlarge, join with what went down, convolve.

    Args:
        size: a multiple of 2 ** (len(widths) - 1).
        widths: channels of every resolution, the finest first.
    """
    net = GraphBuilder((size, size, 3), 3, 7, "unet")

    def conv(source: str, channels: int) -> str:
        return net.conv(source, channels, (3, 3), padding=SAME, group=4, densities=(0.2, 0.4, 0.8))

    skips = [conv("input", widths[0])]
    for channels in widths[1:]:
        skips.append(conv(net.pool(skips[-1], MaxPool, (2, 2), (2, 2)), channels))
    below = skips.pop()
    for channels, skip in zip(widths[-2::-1], reversed(skips), strict=True):
        below = conv(net.concat([enlarged(net, below, 2, 2), skip]), channels)
    net.conv(below, 4, (1, 1), relu=False)
    return net.graph()
