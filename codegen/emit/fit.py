"""Find a place for a lowered network on its board, or say what would make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from codegen import tasks
from codegen.errors import UserError
from codegen.graph.ir import Graph
from codegen.lower import lowering
from codegen.program.program import Program
from codegen.target import placement
from codegen.target.placement import DoesNotFit, Layout, Needs
from codegen.target.target import Target

STACK_BYTES = 4096
"""Stack the linker script reserves, unless overridden there."""

MIN_ARENA_BYTES = 8


def layout(program: Program) -> Layout:
    """Return where everything of ``program`` goes on its board, a microcontroller.

    Raises:
        UserError: no region of the board holds its weights or its arena.
    """
    try:
        return placement.place(program.target.board, needs(program))
    except DoesNotFit as lack:
        raise _refusal(program, lack) from lack


def needs(program: Program) -> Needs:
    """Return what ``program`` takes of memory, beside its code."""
    graph = program.graph
    edges = (graph.only_input, graph.only_output) if graph.is_one_to_one else ()
    return Needs(
        weights_bytes=len(program.image_bytes),
        arena_bytes=max(program.arena_bytes, MIN_ARENA_BYTES),
        edge_bytes=sum(prod(edge.shape) for edge in edges) + sum(beside_bytes(graph).values()),
        stack_bytes=STACK_BYTES,
    )


def beside_bytes(graph: Graph) -> dict[str, int]:
    """Return the bytes of RAM that raw numbers and the answer take, by what lies there."""
    found = {}
    for index, value in enumerate(map(graph.value, graph.inputs)):
        number = f" of input {index}" if len(graph.inputs) > 1 else ""
        ram = {} if value.source is None else value.source.ram_bytes(prod(value.shape))
        found.update({what + number: size for what, size in ram.items()})
    task = tasks.of(graph)
    answer = {} if task is None else task.ram_bytes(graph)
    return found | {f"{what} of the answer": size for what, size in answer.items()}


def _refusal(program: Program, lack: DoesNotFit) -> UserError:
    kind = "flash" if lack.use == "weights" else "RAM"
    beside = sum(beside_bytes(program.graph).values()) if lack.use == "arena" else 0
    told = f", beside {beside} bytes of raw numbers and answers" if beside else ""
    return UserError(
        f"board {program.target.board.id}",
        f"network {program.graph.name} does not fit: its {lack.use} takes {lack.needed_bytes} "
        f"bytes of {kind}",
        got="free are " + ", ".join(f"{free} in {bank.name}" for bank, free in lack.free) + told,
        expected=f"one region for {lack.use} with {lack.needed_bytes} bytes",
        action=_help(program, lack),
    )


def _help(program: Program, lack: DoesNotFit) -> str:
    """Return what makes the network smaller, with the bytes it then takes."""
    most = max(free for _, free in lack.free)
    tried = sorted(_smaller(program, lack))
    enough = [(size, option) for size, option in tried if size <= most]
    if enough:
        return "Choose " + " or ".join(f"{option} ({size} bytes)" for size, option in enough)
    best = f"Even {tried[0][1]} takes {tried[0][0]} bytes. " if tried else ""
    if lack.use == "arena":
        peak = max(range(len(program.layers)), key=lambda index: program.peak_bytes[index])
        alone = f"Layer {program.layers[peak].name} alone takes {program.peak_bytes[peak]} bytes"
        advice = "make its maps smaller, use a smaller input, or choose a board with more RAM"
        return f"{best}{alone}: {advice}"
    densest = len(program.levels) - 1
    own = sum(layer.own_bytes(densest) for layer in program.layers)
    level = program.levels[densest].name
    drop = f"drop the densest level {level} (saves {own} bytes), " if densest else ""
    return f"{best}Prune further, {drop}or choose a board with more flash"


def _smaller(program: Program, lack: DoesNotFit) -> Iterator[tuple[int, str]]:
    """Yield the bytes of what is lacking with other options, where they are fewer."""
    said = program.target
    options: tuple[tuple[str, Target], ...] = (
        ("--optimize size", replace(said, optimize="size")),
        ("--optimize size --codecs all", replace(said, optimize="size", codecs="all")),
        ("--decode inference", replace(said, decode="inference")),
        ("--codecs raw", replace(said, codecs="raw")),
    )
    for option, target in options:
        if target == said:
            continue
        other = lowering.lower(program.source, target)
        size = len(other.image_bytes) if lack.use == "weights" else other.arena_bytes
        if size < lack.needed_bytes:
            yield size, option
