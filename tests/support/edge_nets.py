"""Networks with several inputs and outputs, small enough to compile quickly."""

from __future__ import annotations

from dataclasses import replace

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, Meaning, Setting, TaskRecord
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import random_graph
from codegen.graph.verify import verify
from tests.support.firmware.tasks import record


def fusion() -> Graph:
    """Return 2 inputs and 1 output: pixels and samples; the second is read twice, once late."""
    net = GraphBuilder((11, 7, 3), 3, 5, "fusion")
    samples = net.input("samples", (5, 4, 5), "samples")
    body = net.conv(
        "input", 8, (3, 3), stride=(2, 2), padding=(1, 1, 0, 0), group=4, densities=(0.2, 0.5, 0.9)
    )
    body = net.pool(body, MaxPool, (1, 1), (1, 1))
    body = net.conv(body, 5, (1, 1), group=2, densities=(0.1, 0.4, 0.8))
    body = net.reshape(body, (1, 1, 5 * 3 * 5)) if net.shape(body) == (5, 3, 5) else body
    side = net.linear(samples, net.shape(body)[2], group=4, densities=(0.1, 0.3, 0.5))
    both = net.add(body, side)
    late = net.linear(samples, net.shape(body)[2])
    net.softmax(net.linear(net.add(both, late), 7, group=2, densities=(0.3, 0.6, 0.9)))
    return net.graph()


def detector() -> Graph:
    """Return 1 input and 3 outputs: a map that is read inside, a view of it, class scores."""
    net = GraphBuilder((13, 11, 3), 2, 6, "detector")
    stem = net.conv("input", 6, (3, 3), stride=(2, 2), group=1, densities=(0.3, 0.7))
    boxes = net.conv(stem, 4, (3, 3), padding=(1, 1, 1, 1), groups=2, relu=False)
    body = net.conv(boxes, 6, (1, 1), group=4, densities=(0.3, 0.6), residual=stem)
    height, width, channels = net.shape(boxes)
    rows = net.reshape(boxes, (height * width, 1, channels))
    pooled = net.pool(body, AvgPool, net.shape(body)[:2], (1, 1))
    scores = net.linear(pooled, 5, group=2, densities=(0.4, 0.8))
    return net.graph({scores: "class_scores", boxes: "boxes", rows: "plain"})


MIN_SCORE = 200
"""From which on boxes of the next network count."""


def boxes_of_two_scales(anchors: int = 1) -> Graph:
    """Return a detector of two levels, as its task wants it, on images of 24 by 40."""
    net = GraphBuilder((24, 40, 1), 2, 4, "eye")
    halves = {"stride": (2, 2), "padding": (1, 1, 1, 1)}
    stem = net.conv("input", 8, (3, 3), **halves, densities=(0.6, 1.0))
    fine = net.conv(stem, 8, (3, 3), **halves, densities=(0.5, 0.9))
    coarse = net.conv(fine, 8, (3, 3), **halves, densities=(0.5, 0.9))
    edges: dict[str, Meaning] = {}
    for body in (fine, coarse):
        scores = net.conv(body, 3 * anchors, (3, 3), padding=(1, 1, 1, 1), relu=False)
        edges[scores] = "class_scores"
        edges[net.conv(body, 4 * anchors, (1, 1), relu=False)] = "boxes"
    graph = net.graph(edges)
    settings = [Setting("min_score", (MIN_SCORE,)), Setting("overlap_percent", (45,))]
    if anchors > 1:
        settings.append(Setting("anchors", tuple(range(60, 60 + 23 * 4 * anchors, 23))))
    values = [
        replace(value, scale=(0.03,) * 2) if value.name in edges else value
        for value in graph.values
    ]
    return replace(graph, values=tuple(values), task=TaskRecord("detection", tuple(settings)))


def gates() -> Graph:
    """Return 3 inputs and 2 outputs: two inputs meet in the first layer, one only in the last."""
    net = GraphBuilder((3, 5, 7), 4, 7, "gates")
    second = net.input("state", (3, 5, 7), "map")
    third = net.input("gate", (1, 1, 11))
    both = net.add(second, "input", relu=True)
    deep = net.conv(
        both, 7, (3, 3), padding=(1, 1, 1, 1), groups=7, group=1, densities=(0.3, 0.5, 0.7, 1.0)
    )
    deep = net.conv(deep, 13, (2, 2), group=4, densities=(0.1, 0.2, 0.4, 0.6))
    last = net.add(net.linear(deep, 11, group=4, densities=(0.2, 0.4, 0.6, 0.9)), third)
    return net.graph({both: "map", last: "plain"})


def edge_graphs() -> list[Graph]:
    """Return the three above and random ones."""
    random = [
        random_graph(31, blocks=3, largest=7, inputs=2, outputs=2),
        random_graph(32, blocks=3, largest=7, inputs=3, outputs=4),
    ]
    return [fusion(), detector(), gates(), *random]


TILE = (13, 11)
"""Height and width of what :func:`segments_tiles` takes at once."""


def segments_tiles(channels: int, margin: int | None, inputs: int = 2) -> Graph:
    """Return a network whose map is as large as its input and sees two pixels around a position."""
    net = GraphBuilder((*TILE, inputs), 2, 5, "cells")
    body = net.conv("input", 5, (3, 3), padding=(1, 1, 1, 1))
    body = net.conv(
        body, channels, (3, 3), padding=(1, 1, 1, 1), group=1, densities=(0.4, 0.9), relu=False
    )
    settings = {"threshold": (3.0,)} if channels == 1 else {}
    if margin is not None:
        settings["margin"] = (float(margin),)
    return verify(replace(net.graph({body: "map"}), task=record("segmentation", **settings)))
