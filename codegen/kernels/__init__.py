"""The kernels, one file each: what is in this folder is a kernel, and nothing lists it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from codegen.graph.ir import Graph, Op
from codegen.kernels.common.kernel import Kernel
from codegen.program.draft import Candidate
from codegen.target.target import Target


def _kernels() -> tuple[Kernel, ...]:
    rows: list[Kernel] = []
    for entry in pkgutil.iter_modules(__path__):
        if not entry.ispkg:
            rows += importlib.import_module(f"{__name__}.{entry.name}").KERNELS
    return tuple(rows)


KERNELS: tuple[Kernel, ...] = _kernels()
"""In the order of their files' names."""


def row(name: str) -> Kernel:
    """Return the kernel called ``name``; KeyError if there is none."""
    return {kernel.name: kernel for kernel in KERNELS}[name]


def candidates(op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
    """Yield every way in which some kernel computes ``op``."""
    for kernel in KERNELS:
        yield from kernel.candidates(op, graph, target)
