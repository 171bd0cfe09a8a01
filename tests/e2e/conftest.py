"""Projects of synthetic networks, generated and built in temporary folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.emit import project
from codegen.graph.ir import Graph
from codegen.target import toolchain
from codegen.target.target import resolve
from codegen.target.toolchain import Built
from tests.support.projects import SHA256, WARNINGS, Build, need_tools


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return a function that generates and builds a graph for a board."""

    def build_for(graph: Graph, board_id: str) -> Built:
        need_tools(board_id)
        folder = tmp_path / f"{graph.name}-{board_id}"
        project.write(graph, SHA256, resolve(board_id), folder)
        return toolchain.build(folder, {"WARNING_FLAGS": " ".join(WARNINGS)})

    return build_for
