"""Choose the tile of a segmentation for a board: the largest whose network has room in its RAM.

Nothing is trained for it: what a network takes of RAM depends on its shapes, not on its weights,
but for the few bytes of streams that are decoded. Networks with random weights are lowered for the
board, and placed as code generation places them, with room for the variables of a program.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console
from torch import nn

from codegen.emit import fit
from codegen.errors import UserError
from codegen.graph.ir import Graph
from codegen.lower import lowering
from codegen.target import boards, placement, target
from codegen.target.placement import VARIABLES_BYTES, DoesNotFit
from nestnet import tasks
from nestnet.config import TrainConfig
from nestnet.datasets import MAX_SIDE
from nestnet.preview.untrained import of_training

Tile = tuple[int, int]
"""Height and width."""
PROBED = 64
"""Side of the tile whose maps tell by how much a network makes them smaller: every power of two up
to it divides it."""
_READ = 256
"""Side of the tiles that data is read in before a tile is chosen, more than twice any margin."""


@dataclass(frozen=True)
class Measured:
    """A network for tiles of one size, on a board."""

    tile: Tile
    arena_bytes: int
    edge_bytes: int
    """Of input and output."""
    spare_bytes: int
    """What is left to a program's variables."""
    free_bytes: int | None
    """What the arena may take where it does not fit; None where it does."""

    @property
    def taken_bytes(self) -> int:
        """Return what grows with the tile."""
        return self.arena_bytes + self.edge_bytes

    @property
    def fits(self) -> bool:
        """Return whether the board has room for it."""
        return self.free_bytes is None

    def __str__(self) -> str:
        """Return the tile and its arena, for a message."""
        return f"{self.tile[0]}x{self.tile[1]}, arena {self.arena_bytes:,} bytes"

    @property
    def beside(self) -> str:
        """Return what else needs RAM, for a message."""
        edges, stack = f"{self.edge_bytes:,} of input and output", f"{fit.STACK_BYTES:,} of stack"
        return f"beside {edges}, {stack} and {self.spare_bytes:,} for variables"


def resolve(
    config: TrainConfig, module: nn.Module | None = None, *, quiet: bool = False
) -> TrainConfig:
    """Return ``config`` with the tile that its board has room for, and print why it is that one.

    A tile that is given is measured, and refused where code generation would refuse it.

    Raises:
        UserError: unknown board, one without limits, data without tiles, or no tile that fits.
    """
    board = boards.load(config.board)
    if board.is_host:
        raise UserError(
            "--board",
            "has no RAM to fit",
            got=config.board,
            expected="a board with a microcontroller; see nestnet boards",
            action="Choose one, or give --tile without a board",
        )
    given = (config.tile[0], config.tile[1])
    task, data = tasks.with_data(config if any(given) else replace(config, tile=(_READ, _READ)))
    assert data.cut is not None  # tiles were asked for
    console = Console(quiet=quiet)

    def graph_of(tile: Tile) -> Graph:
        shape = (*tile, data.input_shape[2])
        return of_training(config, task, data, module=module, input_shape=shape)

    if any(given):
        found = _measured(graph_of(given), config, spare_bytes=0)
        if not found.fits:
            raise _refused(config, found, "Give a smaller --tile, or auto")
        console.print(f"tile: {found} on {config.board}", soft_wrap=True)
        return config

    def measure(tile: Tile) -> Measured:
        return _measured(graph_of(tile), config, VARIABLES_BYTES)

    probed = graph_of((PROBED, PROBED))
    step = _stride(probed)
    most = tuple(min(-(-side // step), MAX_SIDE // step) * step for side in data.cut.largest)
    ram_bytes = max(bank.size_bytes for bank in board.banks("arena"))
    first = int(PROBED * math.sqrt(ram_bytes / _measured(probed, config, 0).taken_bytes))
    found, larger = _largest(measure, first, step, (most[0], most[1]))
    if not found.fits:
        raise _refused(config, found, "Choose a smaller model, or a board with more RAM")
    if min(found.tile) <= 2 * data.cut.margin:
        raise UserError(
            "--tile auto",
            "the largest tile that fits has no room for the margin",
            got=f"{found}, margin {data.cut.margin}",
            expected="sides more than twice the margin",
            action="Choose a smaller --margin, a smaller model, or a board with more RAM",
        )
    why = "no image is larger"
    if larger is not None:
        why = f"{larger}, does not: {larger.free_bytes:,} are free {larger.beside}"
    console.print(f"tile: {found}, fits {config.board}; {why}", soft_wrap=True)
    return replace(config, tile=found.tile)


def _stride(graph: Graph) -> int:
    """Return by how much a network for tiles of PROBED makes its maps smaller, at most.

    Maps of one position are averages of all of the tile, whatever its size.
    """
    sides = {side for value in graph.values for side in value.shape[:2]}
    return max(PROBED // side for side in sides if side > 1 and PROBED % side == 0)


def _largest(
    measure: Callable[[Tile], Measured], first: int, step: int, most: Tile
) -> tuple[Measured, Measured | None]:
    """Return the largest tile that fits and the next larger one, which does not; None where there
    is none. If none fits, the smallest.

    Args:
        measure: a tile on the board.
        first: about the side that will be found.
        step: sides are multiples of it.
        most: no tile is higher and wider.
    """

    def of(steps: int) -> Measured:
        return measure((min(steps * step, most[0]), min(steps * step, most[1])))

    limit = max(most) // step
    steps = min(max(first // step, 1), limit)
    found, larger = of(steps), None
    while not found.fits and steps > 1:
        steps -= 1
        found, larger = of(steps), found
    while found.fits and larger is None and steps < limit:
        steps += 1
        tried = of(steps)
        found, larger = (tried, None) if tried.fits else (found, tried)
    return found, larger


def _measured(graph: Graph, config: TrainConfig, spare_bytes: int) -> Measured:
    """Return what a network takes on the board of ``config``, with room to spare for variables.

    Raises:
        UserError: the board has not enough flash for its weights, whatever the tile.
    """
    size = "size" if config.flash_bytes or config.flash_total_bytes else None
    program = lowering.lower(graph, target.resolve(config.board, optimize=size))
    needs = fit.needs(program)
    height, width, _ = graph.only_input.shape
    free = None
    try:
        placement.place(
            program.target.board, replace(needs, edge_bytes=needs.edge_bytes + spare_bytes)
        )
    except DoesNotFit as lack:
        if lack.use != "arena":
            fit.layout(program)  # says so
        free = max(room for _, room in lack.free)
    return Measured((height, width), needs.arena_bytes, needs.edge_bytes, spare_bytes, free)


def _refused(config: TrainConfig, found: Measured, action: str) -> UserError:
    return UserError(
        f"board {config.board}",
        "has no RAM for the tile",
        got=str(found),
        expected=f"an arena of at most {found.free_bytes:,} bytes {found.beside}",
        action=action,
    )
