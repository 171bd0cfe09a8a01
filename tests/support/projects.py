"""What tests of generated projects share: a network, its hash, warnings, tools that are needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.target import boards
from codegen.target.toolchain import Built

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SHA256 = "0123456789abcdef" * 4

Build = Callable[[Graph, str], Built]


def need_tools(board_id: str) -> None:
    """Skip the calling test where the board's tools are missing."""
    tools = {"host": ("cc",), "qemu": ("arm-none-eabi-gcc", "qemu-system-arm")}
    for tool in tools.get(boards.load(board_id).runner, ("arm-none-eabi-gcc",)):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")


def small_graph(name: str = "tiny", seed: int = 7) -> Graph:
    """Return a network with every kind of table: nested, dense, residual, pool, add, softmax."""
    net = GraphBuilder((5, 7, 3), 2, seed, name)
    stem = net.conv("input", 4, (3, 3), padding=(1, 1, 1, 1))
    body = net.conv(
        stem, 4, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.25, 0.5), residual=stem
    )
    depthwise = net.conv(body, 4, (3, 3), padding=(1, 1, 1, 1), groups=4)
    total = net.add(depthwise, body)
    pooled = net.pool(total, AvgPool, (5, 7), (1, 1))
    net.softmax(net.linear(pooled, 3, group=2, densities=(0.5, 1.0)))
    return net.graph()


def coded_graph() -> Graph:
    """Return a network on odd shapes with every group size, three levels and an empty one."""
    net = GraphBuilder((7, 11, 5), 3, 77, "coded")
    net.conv("input", 7, (3, 3), padding=(1, 1, 1, 1))
    net.conv(net.last, 11, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.3, 0.6))
    net.conv(net.last, 7, (3, 5), stride=(2, 2), group=2, densities=(0.0, 0.2, 0.9))
    net.conv(net.last, 13, (1, 1), group=1, densities=(0.2, 0.3, 0.7))
    net.pool(net.last, MaxPool, (2, 2), (1, 1))
    net.conv(net.last, 11, (2, 1), group=2, densities=(0.1, 0.5, 0.7))
    net.conv(net.last, 6, (1, 3), group=4, densities=(0.3, 0.4, 1.0))
    net.linear(net.last, 19, group=4, densities=(0.2, 0.4, 0.8))
    net.linear(net.last, 3)
    return net.graph()


def arrays_of(made: Path) -> int:
    """Return the bytes of RAM that a project's example takes beside arena, input and output."""
    target = made / "example.o"
    command = ["gcc", "-c", "-O0", f"-I{made / 'library'}", f"-I{made / 'rig/port'}"]
    subprocess.run([*command, str(made / "example/main.c"), "-o", str(target)], check=True)
    listed = subprocess.run(["nm", "-S", str(target)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    sizes = {row[3].split(".")[0]: int(row[1], 16) for row in rows if row[2:3] in (["b"], ["d"])}
    others = {name for name in sizes if name in ("arena", "input", "output") or name[:3] == "row"}
    return sum(size for name, size in sizes.items() if name not in others)
