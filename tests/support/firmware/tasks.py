"""Networks of every task, and what C answers to their outputs, on the host or an emulated core."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen import tasks
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, Setting, TaskRecord
from codegen.graph.verify import verify
from codegen.tasks import Outcome
from codegen.tasks.anomaly import differences, thresholds
from codegen.tasks.heat_map import peaks
from codegen.tasks.multi_label import present
from codegen.tasks.regression import numbers
from codegen.tasks.segmentation import masks
from tests.support.firmware.decoders import Machine
from tests.support.firmware.rig import (
    FIRMWARE,
    HARNESS,
    M4_FLAGS,
    SANITIZERS,
    STANDARD,
    WARNINGS,
    need,
    run_checked,
)

LEVELS = 2


def record(name: str, **settings: tuple[float, ...]) -> TaskRecord:
    """Return a task with settings."""
    return TaskRecord(name, tuple(Setting(key, values) for key, values in settings.items()))


def of_map(task: TaskRecord, channels: int) -> Graph:
    """Return a network of a map of 5x3 positions."""
    net = GraphBuilder((10, 6, 3), LEVELS, 3, task.name)
    body = net.conv(
        "input",
        channels,
        (3, 3),
        stride=(2, 2),
        padding=(1, 1, 1, 1),
        group=1,
        densities=(0.4, 0.9),
        relu=False,
    )
    return verify(replace(net.graph({body: "map"}), task=task))


def of_list(task: TaskRecord, count: int) -> Graph:
    """Return a network of so many numbers."""
    net = GraphBuilder((1, 1, 7), LEVELS, 4, task.name)
    return verify(replace(net.graph({net.linear("input", count): "plain"}), task=task))


def of_copy() -> Graph:
    """Return a network whose output has the shape of its input."""
    net = GraphBuilder((5, 3, 2), LEVELS, 6, "anomaly")
    body = net.conv(
        "input", 2, (3, 3), padding=(1, 1, 1, 1), group=1, densities=(0.4, 0.9), relu=False
    )
    graph = net.graph({body: "map"})
    return verify(replace(graph, task=record("anomaly", thresholds=(900_000.0, 12.0))))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "one map": lambda: of_map(record("segmentation", threshold=(-3.0,)), 1),
    "a map per class": lambda: of_map(record("segmentation", margin=(1.0,)), 3),
    "labels": lambda: of_list(record("multi_label", thresholds=(1.0, -128.0, 127.0, 0.0, 5.0)), 5),
    "one label": lambda: of_list(record("multi_label", thresholds=(11.0,)), 1),
    "numbers": lambda: of_list(
        record("regression", step=(0.37, -1e-7, 2.5e3), offset=(-4.5, 1e-3, 9e5)), 3
    ),
    "huge numbers": lambda: of_list(record("regression", step=(3e12,), offset=(-1e14,)), 1),
    "heat map": lambda: of_map(record("heat_map", threshold=(40.0,)), 3),
    "anomaly": of_copy,
}
"""Of every task but classification, whose C is a function without a constant."""


@dataclass(frozen=True)
class _Words:
    """How the harness speaks of a task."""

    answer: str
    items: str
    call: str


_WORDS = {
    "segmentation": _Words("uint8_t", "{height} * {width}", "nn_segment(&task, output, answer)"),
    "multi_label": _Words("uint8_t", "{labels}", "nn_present(&task, output, answer)"),
    "regression": _Words("int32_t", "{count}", "nn_numbers(&task, output, answer)"),
    "heat_map": _Words(
        "nn_peak",
        "{room}",
        "answer[ITEMS - 1].row = (uint16_t)nn_peaks(&task, output, answer, ITEMS - 1)",
    ),
    "anomaly": _Words(
        "uint32_t",
        "3",
        "(answer[0] = nn_difference(&task, input, output), "
        "answer[1] = (uint32_t)nn_is_odd(&task, 0, answer[0]), "
        "answer[2] = (uint32_t)nn_is_odd(&task, 1, answer[0]))",
    ),
}


def drawn(graph: Graph, count: int) -> Outcome:
    """Return random inputs and outputs: few different values, and all of them."""
    rng = np.random.default_rng(count)
    spread = np.array([2, 40, 128])[rng.integers(0, 3, (count, 1, 1, 1))]
    shapes = [(count, *graph.value(name).shape) for name in (*graph.inputs, *graph.outputs)]
    given, made = (
        np.clip(rng.integers(-spread, spread, shape), -128, 127).astype(np.int8) for shape in shapes
    )
    return Outcome(graph, 0, (given,), (made,))


def in_numpy(outcome: Outcome) -> NDArray[Any]:
    """Return the twin's answers, in the words of the C harness."""
    name = outcome.graph.task.name if outcome.graph.task else ""
    if name == "segmentation":
        return masks(outcome).reshape(len(outcome.inputs[0]), -1)
    if name == "multi_label":
        return present(outcome)
    if name == "regression":
        return numbers(outcome)
    if name == "anomaly":
        found = differences(outcome)
        odd = [found >= limit for limit in thresholds(outcome.graph)]
        return np.stack([found, *odd], axis=1)
    room = _room(outcome.graph)
    rows = np.zeros((len(outcome.inputs[0]), room, 4), np.int64)
    for row, objects in zip(rows, peaks(outcome), strict=True):
        row[: min(len(objects), room - 1)] = objects[: room - 1]
        row[room - 1, 0] = len(objects)
    return rows


def in_c(outcome: Outcome, folder: Path, machine: Machine) -> NDArray[Any]:
    """Return what C answers."""
    graph = outcome.graph
    assert graph.task is not None
    name, words = graph.task.name, _WORDS[graph.task.name]
    constants = dict(tasks.TASKS[name].constants(graph) or {})
    counted = {"labels": graph.only_output.shape[2], "count": graph.only_output.shape[2]}
    items = words.items.format(**{**counted, **constants, "room": _room(graph)})
    count = math.prod(map(int, items.split("*")))
    text = f'#include "tasks/nn_{name}.h"\n' + _constant(name, graph, constants)
    sizes = {
        "SAMPLES": len(outcome.inputs[0]),
        "IN_BYTES": outcome.inputs[0][0].size,
        "OUT_BYTES": outcome.outputs[0][0].size,
        "ITEMS": items,
        "ANSWER": words.answer,
        "ANSWER_TO(input, output, answer)": words.call,
    }
    text += "".join(f"#define {key} {value}\n" for key, value in sizes.items())
    (folder / "tasks.inc").write_text(text, encoding="ascii")
    pairs = zip(outcome.inputs[0], outcome.outputs[0], strict=True)
    edges = b"".join(given.tobytes() + made.tobytes() for given, made in pairs)
    (folder / "edges.bin").write_bytes(edges)
    _run(folder, name, machine)
    data = (folder / "answers.bin").read_bytes()
    if name == "heat_map":
        kind = np.dtype(
            [("row", "<u2"), ("column", "<u2"), ("score", "<i2"), ("label", "u1"), ("", "u1")]
        )
        found = np.frombuffer(data, kind)
        plain = np.stack(
            [found[key].astype(np.int64) for key in ("row", "column", "score", "label")], 1
        )
        return plain.reshape(sizes["SAMPLES"], count, 4)
    kind = np.dtype(words.answer.removesuffix("_t"))
    return np.frombuffer(data, kind).reshape(sizes["SAMPLES"], count)


def _room(graph: Graph) -> int:
    """Return how many peaks the harness has room for, and the count: fewer than there can be."""
    return 4


def _constant(name: str, graph: Graph, constants: dict[str, Any]) -> str:
    """Return C text of the task's constant."""
    text, members = "", []
    extra = {
        "multi_label": {"labels": graph.only_output.shape[2]},
        "regression": {
            "count": graph.only_output.shape[2],
            "zero_point": graph.only_output.zero_point,
        },
        "anomaly": {
            "input_zero_point": graph.only_input.zero_point,
            "output_zero_point": graph.only_output.zero_point,
        },
    }.get(name, {})
    types = {"multi_label": "int8_t", "regression": "int32_t", "anomaly": "uint32_t"}
    for key, value in {**constants, **extra}.items():
        if key in ("cell_height", "cell_width", "most"):
            continue
        if np.ndim(value):
            listed = ", ".join(map(str, np.asarray(value).tolist()))
            text += f"static const {types[name]} {key}[] = {{{listed}}};\n"
            members.append(f".{key} = {key}")
        else:
            members.append(f".{key} = {value}")
    return text + f"static const nn_{name} task = {{{', '.join(members)}}};\n"


def _run(folder: Path, name: str, machine: Machine) -> None:
    files = [HARNESS / "tasks_harness.c", FIRMWARE / f"tasks/nn_{name}.c"]
    files += [FIRMWARE / "nestnet.c", FIRMWARE / "core/nn_crc32.c"]
    includes = [f"-I{path}" for path in (FIRMWARE, FIRMWARE / "port", folder)]
    options = [*STANDARD, *WARNINGS, "-O2", *includes]
    elf = folder / "tasks.elf"
    if machine == "host":
        files.append(FIRMWARE / "port/nn_port_host.c")
        run_checked(["gcc", *options, *SANITIZERS, "-o", str(elf), *map(str, files)], folder)
        run_checked([str(elf)], folder)
        return
    files += [FIRMWARE / "startup/nn_startup.c", FIRMWARE / "port/nn_port_semihosting.c"]
    command = [need("arm-none-eabi-gcc"), *M4_FLAGS, *options, "-nostartfiles"]
    command += ["--specs=nano.specs", "-Wl,--no-warn-rwx-segments", "-T", str(HARNESS / "qemu.ld")]
    run_checked([*command, "-o", str(elf), *map(str, files)], folder)
    emulator = [need("qemu-system-arm"), "-M", machine, "-display", "none", "-monitor", "none"]
    emulator += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
    run_checked([*emulator, "-kernel", str(elf)], folder)
