"""Projects of every task: the example answers, the header says what a program needs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codegen.emit import project
from codegen.graph.synthetic import random_inputs
from codegen.measure import compare
from codegen.target.target import resolve
from nestnet.preview.untrained import untrained
from tests.support.edge_nets import boxes_of_two_scales
from tests.support.firmware.rig import M4_FLAGS, SANITIZERS, need, run_checked
from tests.support.firmware.tasks import NETWORKS as OTHERS
from tests.support.projects import SHA256, WARNINGS, Build

NETWORKS = {**OTHERS, "boxes": boxes_of_two_scales}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_example_of_a_task_runs(name: str, tmp_path: Path) -> None:
    graph = NETWORKS[name]()
    assert graph.task is not None
    made = project.write(graph, SHA256, resolve("host"), tmp_path / "made")
    header = (made / "library/model.h").read_text()
    assert f'#include "firmware/tasks/nn_{graph.task.name}.h"' in header
    assert f"extern const nn_{graph.task.name} nn_task_{graph.name};" in header
    assert f"nn_task_{graph.name}" in (made / "README.md").read_text()
    sources = [str(path) for path in sorted((made / "library").rglob("*.c"))]
    rig = [str(made / "rig/port" / file) for file in ("nn_port_host.c", "nn_mark.c")]
    includes = [f"-I{made / 'library'}", f"-I{made / 'rig/port'}"]
    command = ["gcc", "-std=c11", "-O1", *WARNINGS, *SANITIZERS, *includes]
    command += [str(made / "example/main.c"), *rig, *sources, "-o", "example"]
    run_checked(command, tmp_path)
    done = subprocess.run(["./example"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("frame ") == 2 * len(graph.levels)
    core = [need("arm-none-eabi-gcc"), *M4_FLAGS, "-std=c99", "-O2", *WARNINGS, "-fsyntax-only"]
    run_checked([*core, str(made / "library/model.c")], tmp_path)


@pytest.mark.parametrize("board_id", ["host", "qemu_m4"])
@pytest.mark.parametrize("model", ["unet_small", "autoencoder", "fomo"])
def test_models_of_maps_give_the_bits_of_the_reference(
    build: Build, model: str, board_id: str
) -> None:
    graph = untrained(model, sparsity=(0.8, 0.3), input_shape=(16, 24, 2), classes=3)
    inputs = random_inputs(graph, 2, seed=5)
    made = compare.compare(build(graph, board_id), graph, inputs, None, (0, 1))
    assert made.bit_exact, "\n".join(map(str, made.differences))
