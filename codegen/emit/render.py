"""Turn a program network into the text of a C project; the only module that fills templates in.

All C, Make and linker text is in ``templates/``; this module hands over values and formats numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from codegen import kernels, paths, tasks
from codegen.emit import stack
from codegen.emit.fit import MIN_ARENA_BYTES, STACK_BYTES, beside_bytes
from codegen.graph.ir import Graph, Int8Array
from codegen.graph.sources.quantizer import Source
from codegen.lower.plan_memory import ALIGN_BYTES
from codegen.program.call import Buffer, Call, Member
from codegen.program.draft import round_up
from codegen.program.program import Program
from codegen.target.placement import Layout
from codegen.tasks import Answer, Task

GENERATOR_VERSION = "0.1.0"
"""Version of nestnet that generated files name; a test compares it with pyproject.toml."""

RUNTIME_VERSION = 4
"""NN_RUNTIME_VERSION of the firmware the templates are written for."""

LIBRARY = "library"
"""The folder that a program of one's own takes: it builds alone, anywhere."""

EXAMPLE = "example"
RIG = "rig"
"""What only our example and test runner need: port, start-up code, linker script."""

_PLACES = {
    "model.h": LIBRARY,
    "model.c": LIBRARY,
    "weights.h": LIBRARY,
    "weights.c": LIBRARY,
    "main.c": EXAMPLE,
    "runner.c": RIG,
    "linker.ld": RIG,
    "Makefile": "",
    "README.md": "",
}
"""The folder of each generated file in a project."""


@dataclass(frozen=True)
class RuntimeFiles:
    """C sources that the Makefile compiles, relative to the project."""

    runtime: tuple[str, ...]
    port: tuple[str, ...]


@dataclass(frozen=True)
class _Edge:
    """One of the network's inputs or outputs."""

    name: str
    word: str
    """What texts call it: "input" where it is the only one, else "input 1"."""
    macro: str
    """What stands for it in macros: "INPUT", else "INPUT_1"."""
    meaning: str
    shape: tuple[int, int, int]
    bytes: int
    scale: float
    zero_point: int
    offset_bytes: int
    """Of its own buffer in the arena."""
    source: Source | None
    """Of an input that is made of raw numbers."""
    symbol: str
    """What names of its source end in."""
    suffix: str
    """What names of arrays end in that a program gives for its source: "" of the only input."""


@dataclass(frozen=True)
class _Task:
    """What texts say of the task, in the words of its template."""

    name: str
    constants: Mapping[str, Any]


@dataclass(frozen=True)
class _Net:
    """Names and facts that several templates need."""

    name: str
    macro: str
    id: str
    """8 hexadecimal digits that tell two networks with one name apart."""
    inputs: tuple[_Edge, ...]
    outputs: tuple[_Edge, ...]
    on_callers_buffers: bool
    """Whether it has one input and one output, which the caller of nn_run gives."""
    arena_bytes: int
    arena_and_edges_bytes: int
    stack_bytes: int
    """Of nn_run and of all that a program calls before and after it."""
    says_more: bool
    """Whether there is C before or after a run."""
    beside: Mapping[str, int]
    """The bytes of RAM that raw numbers and the answer take, by what lies there."""
    class_names: tuple[str, ...]
    names_word: str
    """What class names are called: "Classes"; "" where they name nothing the network says."""
    metric: str
    """What the levels' scores are called."""
    task: _Task | None
    """None where C has nothing to say of it."""
    answers: str | None
    """Name of the task whose answers the test runner writes; None where no task knows the
    outputs."""
    kernels: tuple[str, ...]
    uses_cmsis: bool
    uses_arena: bool

    @property
    def edges(self) -> tuple[_Edge, ...]:
        """Return inputs and outputs."""
        return self.inputs + self.outputs


@dataclass(frozen=True)
class _Meta:
    """Where the files come from."""

    generator_version: str
    runtime_version: int
    graph_sha256: str
    cycles_source: str


def project_files(
    program: Program,
    layout: Layout | None,
    graph_sha256: str,
    files: RuntimeFiles,
    cycles_source: str,
) -> dict[PurePosixPath, str]:
    """Return the text of every generated file by its path in the project.

    ``layout`` says where everything lies; None for the host.

    The result depends on the arguments only: no time, no path, no environment.
    """
    environment, board = _environment(), program.target.board
    values = {
        "program": program,
        "board": board,
        "net": _net(program, _identity(program, graph_sha256)),
        "meta": _Meta(GENERATOR_VERSION, RUNTIME_VERSION, graph_sha256, cycles_source),
        "files": files,
        "stack_bytes": STACK_BYTES,
        "layout": layout,
        "stack_faults": layout is not None and layout.is_stack_guarded(board),
    }
    places = dict(_PLACES)
    if layout is None:
        del places["linker.ld"]
    return {
        PurePosixPath(folder, name): environment.get_template(f"{name}.j2").render(values)
        for name, folder in places.items()
    }


def image_header(
    graph: Graph,
    graph_sha256: str,
    photo: str,
    identifier: str,
    image: Int8Array,
    answers: Sequence[Answer],
) -> str:
    """Return a C header with an image (h, w, c) and what the reference answers to it.

    Args:
        graph: the network.
        graph_sha256: of its file.
        photo: the photo's name.
        identifier: of the array, in lower case.
        image: the network's input.
        answers: one per level.
    """
    content = (photo, identifier, image.tobytes(), *(answer.output.tobytes() for answer in answers))
    return (
        _environment()
        .get_template("image.h.j2")
        .render(
            photo=photo,
            network=graph.name,
            shape=image.shape,
            version=GENERATOR_VERSION,
            graph_sha256=graph_sha256,
            identifier=identifier,
            id=_digest((graph_sha256, GENERATOR_VERSION, *content)),
            image=image.reshape(-1),
            levels=answers,
        )
    )


def source_tables(source: Source, symbol: str) -> str:
    """Return the C text of what makes an input of raw numbers.

    Args:
        source: of the input.
        symbol: what names in the text end in, a C identifier.
    """
    module: Any = _environment().get_template("sources.j2").module
    return str(module.tables(source, symbol))


@cache
def _environment() -> Environment:
    """Return the filters' environment; kept, for compiling the templates takes most of the time."""
    environment = Environment(
        loader=FileSystemLoader(paths.templates()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["comment"] = _comment
    environment.filters["c_string"] = _c_string
    environment.filters["c_float"] = _c_float
    environment.filters["shape"] = _shape
    environment.filters["table"] = _table
    environment.filters["template"] = _template
    environment.filters["operands"] = _operands
    environment.filters["number_lines"] = _number_lines
    environment.filters["numbers"] = np.array
    environment.tests["number_row"] = _is_number_row
    environment.tests["level_dependent"] = _is_level_dependent
    environment.tests["in_arena"] = _is_in_arena
    return environment


def _identity(program: Program, graph_sha256: str) -> str:
    """Return 8 hexadecimal digits of all that the network's own C text depends on."""
    return _digest((graph_sha256, GENERATOR_VERSION, *program.target.words.values()))


def _digest(parts: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _net(program: Program, identity: str) -> _Net:
    graph = program.graph
    task = tasks.of(graph)
    used = sorted({layer.kernel for layer in program.layers})
    places = [buffer.place for layer in program.layers for buffer in (*layer.inputs, layer.output)]
    arena_bytes = max(program.arena_bytes, MIN_ARENA_BYTES)
    inputs, end = _edges(graph, "input", program.inputs, arena_bytes)
    outputs, end = _edges(graph, "output", program.outputs, end)
    beside = beside_bytes(graph)
    told = _task(graph, task)
    says_more = bool(beside) or told is not None
    return _Net(
        name=graph.name,
        macro=graph.name.upper(),
        id=identity,
        inputs=inputs,
        outputs=outputs,
        on_callers_buffers=graph.is_one_to_one,
        arena_bytes=arena_bytes,
        arena_and_edges_bytes=end,
        stack_bytes=stack.most_bytes(program, None if told is None else task),
        says_more=says_more,
        beside=beside,
        class_names=graph.provenance.class_names,
        names_word="Classes" if task is None else task.names_word,
        metric="accuracy" if task is None else task.metric,
        task=told,
        answers=None if task is None else task.name,
        kernels=tuple(kernel for kernel in used if not kernel.startswith("cmsis_")),
        uses_cmsis=any(kernel.startswith("cmsis_") for kernel in used),
        uses_arena="arena" in places,
    )


def _task(graph: Graph, task: Task | None) -> _Task | None:
    constants = None if task is None else task.constants(graph)
    return None if task is None or constants is None else _Task(task.name, constants)


def _edges(
    graph: Graph, word: str, buffers: Sequence[Buffer], end: int
) -> tuple[tuple[_Edge, ...], int]:
    """Return what texts say of inputs or outputs, and where the arena ends with them in it.

    Args:
        graph: their graph.
        word: "input" or "output".
        buffers: where they lie; those of the caller come behind the arena that layers need.
        end: where that arena ends, a multiple of 8.
    """
    edges = []
    for index, buffer in enumerate(buffers):
        value = graph.value(buffer.value)
        number = f" {index}" if len(buffers) > 1 else ""
        offset = buffer.offset_bytes
        if buffer.place != "arena":
            offset, end = end, end + round_up(buffer.size_bytes, ALIGN_BYTES)
        edges.append(
            _Edge(
                name=value.name,
                word=word + number,
                macro=(word + number).upper().replace(" ", "_"),
                meaning=value.meaning,
                shape=value.shape,
                bytes=buffer.size_bytes,
                scale=value.scale[0],
                zero_point=value.zero_point,
                offset_bytes=offset,
                source=value.source,
                symbol=f"{graph.name}_{index}",
                suffix=number.replace(" ", "_"),
            )
        )
    return tuple(edges), end


def _is_level_dependent(layer: Call) -> bool:
    """Whether the layer's function needs the network's state: its level or its arena."""
    return layer.args.needs_state or layer.scratch is not None


def _is_in_arena(layer: Call) -> bool:
    """Whether all that the layer's function reads and writes begins with a word."""
    return all(buffer.place == "arena" for buffer in (*layer.inputs, layer.output))


def _is_number_row(array: NDArray[np.generic]) -> bool:
    return array.ndim == 1


def _table(member: Member) -> NDArray[np.generic]:
    """Return a member's content as C declares it: weights are one flat array, kernels walk them."""
    return member.array.reshape(-1) if member.role == "weights" else member.array


def _template(layer: Call) -> str:
    """Return the file that holds the text of the layer's kernel."""
    return f"kernels/{kernels.row(layer.kernel).stem}.j2"


def _operands(layer: Call) -> tuple[str, ...]:
    """Return what the layer's function calls its inputs."""
    return ("in", "second", *(f"input_{index}" for index in range(3, len(layer.inputs) + 1)))[
        : len(layer.inputs)
    ]


def _comment(text: str) -> str:
    """Make a name harmless inside a C comment, on one line."""
    shown = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    # "??/" is a trigraph: a backslash to some compilers, a warning to others.
    return shown.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def _c_string(text: str) -> str:
    """Return a C string literal; bytes outside printable ASCII become octal escapes."""
    body = ""
    for byte in text.encode("utf-8"):
        char = chr(byte)
        body += "\\" + char if char in '"\\?' else char if 32 <= byte < 127 else f"\\{byte:03o}"
    return f'"{body}"'


def _c_float(value: float) -> str:
    """Return a float literal that reads back as the same IEEE single."""
    text = f"{float(np.float32(value)):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def _shape(extents: Iterable[int]) -> str:
    return "x".join(str(extent) for extent in extents)


def _number_lines(array: NDArray[np.generic], width: int) -> Iterator[str]:
    """Yield the numbers of a row, comma-separated, in lines of at most ``width`` columns."""
    line = ""
    for number in array.tolist():
        text = f"{number},"
        if line and len(line) + 1 + len(text) > width:
            yield line
            line = text
        else:
            line = f"{line} {text}" if line else text
    if line:
        yield line
