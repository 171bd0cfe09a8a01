"""Projects of every task: the example answers, the header says what a program needs."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen import tasks
from codegen.emit import fit, project, stack
from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Graph
from codegen.graph.synthetic import random_inputs
from codegen.lower import lowering
from codegen.measure import compare
from codegen.target import manifest, runners
from codegen.target.runners import protocol
from codegen.target.target import resolve
from codegen.tasks import Outcome
from codegen.tasks.classification import Classification
from nestnet.preview.untrained import untrained
from tests.support.edge_nets import boxes_of_two_scales, detector
from tests.support.firmware.rig import M4_FLAGS, SANITIZERS, need, run_checked
from tests.support.firmware.tasks import NETWORKS as OTHERS
from tests.support.projects import SHA256, WARNINGS, Build, arrays_of, small_graph

NETWORKS = {**OTHERS, "boxes": boxes_of_two_scales}


def unlike_inputs(graph: Graph) -> np.ndarray:
    """Return 7 inputs: plain ones and noise, of which tasks make different answers."""
    inputs = random_inputs(graph, 7, seed=3)[0]
    inputs[0], inputs[1] = 0, 127
    inputs[2] //= 16
    return inputs


def check_answers(graph: Graph, written: np.ndarray, inputs: np.ndarray) -> None:
    """Compare answers (levels, n, bytes) of C with the twin's; they must say something."""
    task = tasks.of(graph)
    assert task is not None
    said = []
    for level in range(len(graph.levels)):
        outputs = reference.run(graph, (inputs,), level)
        rows = task.recorded(Outcome(graph, level, (inputs,), outputs))
        assert np.array_equal(written[level].view(rows.dtype), rows)
        said.append(rows)
    rows = np.concatenate(said)
    assert task.found(rows).sum() >= 4 and len(np.unique(rows, axis=0)) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_example_and_runner_of_a_task_answer(name: str, tmp_path: Path) -> None:
    graph = NETWORKS[name]()
    assert graph.task is not None
    made = project.write(graph, SHA256, resolve("host"), tmp_path / "made")
    header = (made / "library/model.h").read_text()
    assert f'#include "firmware/tasks/nn_{graph.task.name}.h"' in header
    assert f"extern const nn_{graph.task.name} nn_task_{graph.name};" in header
    readme, task = (made / "README.md").read_text(), tasks.of(graph)
    assert task is not None and f"| {task.metric} (quantized) |" in readme
    assert f"nn_task_{graph.name}" in readme
    sources = [str(path) for path in sorted((made / "library").rglob("*.c"))]
    rig = [str(made / "rig/port" / file) for file in ("nn_port_host.c", "nn_mark.c")]
    includes = [f"-I{made / 'library'}", f"-I{made / 'rig/port'}"]
    command = ["gcc", "-std=c11", "-O1", *WARNINGS, *SANITIZERS, *includes]
    run_checked([*command, "-c", *rig, *sources], tmp_path)
    objects = [path.name for path in tmp_path.glob("*.o")]
    for file, program in (("example/main.c", "example"), ("rig/runner.c", "runner")):
        run_checked([*command, str(made / file), *objects, "-o", program], tmp_path)
    inputs, levels = unlike_inputs(graph), range(len(graph.levels))
    protocol.write_request(tmp_path, (inputs,), levels)
    run_checked(["./runner"], tmp_path)
    answer = protocol.read_answer(tmp_path, manifest.read_info(made), len(inputs), levels)
    assert answer.answers is not None
    check_answers(graph, answer.answers, inputs)
    done = subprocess.run(["./example"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("frame ") == 2 * len(graph.levels)
    core = [need("arm-none-eabi-gcc"), *M4_FLAGS, "-std=c99", "-O2", *WARNINGS, "-fsyntax-only"]
    run_checked([*core, str(made / "library/model.c")], tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_ram_of_an_answer_is_what_the_example_takes(name: str, tmp_path: Path) -> None:
    graph = NETWORKS[name]()
    made = project.write(graph, SHA256, resolve("host"), tmp_path / "made")
    assert arrays_of(made) == sum(fit.beside_bytes(graph).values())
    readme = (made / "README.md").read_text()
    for what, size in fit.beside_bytes(graph).items():
        assert f"| {what} | {size} |" in readme


@pytest.mark.parametrize("name", ["one label", "a map per class"])
def test_the_stack_holds_what_is_called_beside_a_run(name: str, tmp_path: Path) -> None:
    graph, target = NETWORKS[name](), resolve("qemu_m4")
    alone = stack.bound_bytes(lowering.lower(graph, target))
    made = project.write(graph, SHA256, target, tmp_path / "made")
    found = re.search(r"_STACK_BYTES (\d+)u", (made / "library/model.h").read_text())
    around = alone + stack.AROUND_BYTES if name == "a map per class" else 0
    assert found is not None and int(found[1]) == max(around, stack.BESIDE_BYTES) > alone


@pytest.mark.parametrize(
    ("name", "word"), [("labels", "Labels"), ("numbers", "Numbers"), ("anomaly", "")]
)
def test_names_are_called_what_they_name(name: str, word: str, tmp_path: Path) -> None:
    graph = NETWORKS[name]()
    count = graph.outputs and graph.only_output.shape[2]
    names = tuple(f"name_{index}" for index in range(count))
    told = replace(graph, provenance=replace(graph.provenance, class_names=names))
    made = project.write(told, SHA256, resolve("host"), tmp_path / "made")
    header = (made / "library/model.h").read_text()
    assert (f" * {word}: 0 name_0" in header) == bool(word)
    assert ("name_0" in header) == bool(word)


@pytest.mark.parametrize("board_id", ["host", "qemu_m4"])
@pytest.mark.parametrize("model", ["unet_small", "autoencoder", "fomo"])
def test_models_of_maps_give_the_bits_of_the_reference(
    build: Build, model: str, board_id: str
) -> None:
    graph = untrained(model, sparsity=(0.8, 0.3), input_shape=(16, 24, 2), classes=3)
    inputs = random_inputs(graph, 2, seed=5)
    made = compare.compare(build(graph, board_id), graph, inputs, None, (0, 1))
    assert made.bit_exact, "\n".join(map(str, made.differences))


def test_answers_of_the_core_are_compared(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = boxes_of_two_scales(anchors=3)
    inputs = unlike_inputs(graph)
    built = build(graph, "qemu_m4")
    made = compare.compare(built, graph, (inputs,), None, (1, 0))
    assert made.bit_exact and [level.level for level in made.levels] == [1, 0]
    for level in made.levels:
        assert level.equal_outputs == level.equal_answers == 7
        assert level.named_answers is not None and level.named_answers >= 4
        assert level.distinct_answers is not None and level.distinct_answers >= 4

    task = tasks.of(graph)
    assert task is not None
    recorded = type(task).recorded

    def other(self: object, outcome: Outcome) -> np.ndarray:
        rows = recorded(self, outcome)  # type: ignore[arg-type]
        rows[3, 5] += outcome.level
        return rows

    monkeypatch.setattr(type(task), "recorded", other)
    made = compare.compare(built, graph, (inputs,), None, (0, 1))
    assert [level.bit_exact for level in made.levels] == [True, False]
    assert [level.equal_answers for level in made.levels] == [7, 6]
    assert made.levels[1].equal_outputs == 7
    (found,) = made.differences
    assert (found.level, found.image, found.layer, found.index) == (1, 3, "answer of detection", 5)
    assert found.expected == found.got + 1


def test_a_class_is_an_answer_and_no_task_has_none(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = small_graph()
    inputs = random_inputs(graph, 3, seed=9)
    built = build(graph, "host")
    made = compare.compare(built, graph, inputs, None, (0, 1))
    assert [level.equal_answers for level in made.levels] == [3, 3]
    result = runners.run(built, inputs, (0, 1))
    assert result.answers is not None and result.answers.shape == (2, 3, 4)
    several = project.write(detector(), SHA256, resolve("host"), tmp_path / "several")
    assert "answers.bin" not in (several / "rig/runner.c").read_text()
    monkeypatch.setattr(Classification, "recorded", lambda *_: np.zeros((3, 2), np.uint32))
    with pytest.raises(UserError, match="does not write answers of classification; got 4 bytes"):
        compare.compare(built, graph, inputs, None, (0,))
