"""Choose the memory of a chip that code, weights, data, stack and arena go to.

The rule, for each what the board's file says in ``[place]``, else:

- code, data: the first bank of the chip's file that has the use; the stack lies beside the data if
  it may, else in the first bank for stacks.
- weights: beside the code if they fit there, else in the fastest bank that holds them.
- arena: in the fastest bank that holds it. Fewest wait states are fastest; of equal ones memory
  that needs no cache, and then the one the chip's file names first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codegen.errors import UserError
from codegen.target.boards import Bank, Board
from codegen.target.chips import USES, Enable

_LINKED = {"code": "FLASH", "data": "RAM"}
"""What the linker script calls the banks of code and data; another bank has the name of the first
use it was chosen for."""

CODE_BYTES = 32_768
"""Room that weights leave to code they lie beside, where another bank has more."""
VARIABLES_BYTES = 4_096
"""Room that an arena leaves to variables other than input and output, where another bank has more:
the test runner's."""


@dataclass(frozen=True)
class Needs:
    """What a network takes of memory; code is not known before it is compiled."""

    weights_bytes: int
    arena_bytes: int
    edge_bytes: int
    """Input, output and what stands before and after them together."""
    stack_bytes: int
    """What the linker script reserves."""


@dataclass(frozen=True)
class Place:
    """A bank and what was put there."""

    linked: str
    """Its name in the linker script."""
    bank: Bank
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Where everything is."""

    places: tuple[Place, ...]
    """That of the code first, then that of the data, which is another."""

    def of(self, use: str) -> Place:
        """Return the place of one of the uses."""
        return next(place for place in self.places if use in place.uses)

    @property
    def enables(self) -> tuple[Enable, ...]:
        """Return what start-up sets before all of it answers, each address once."""
        bits: dict[int, int] = {}
        for region in (region for place in self.places for region in place.bank.regions):
            if region.enable is not None:
                at = region.enable.address
                bits[at] = bits.get(at, 0) | region.enable.set_bits
        return tuple(Enable(at, bits[at]) for at in bits)

    @property
    def others(self) -> tuple[Place, ...]:
        """Return the places beside those of code and data."""
        return self.places[2:]

    def is_stack_guarded(self, board: Board) -> bool:
        """Whether a stack that grows too deep leaves the memory of ``board`` at once.

        The linker script puts it first in its bank, unless code lies there.
        """
        place = self.of("stack")
        below = (region.end for region in board.memory)
        return "code" not in place.uses and place.bank.address not in below


class DoesNotFit(Exception):
    """No bank holds the weights or the arena."""

    def __init__(self, use: str, needed_bytes: int, free: Sequence[tuple[Bank, int]]) -> None:
        """State what was needed and what there is.

        Args:
            use: "weights" or "arena".
            needed_bytes: of it.
            free: the banks it may go to, with the bytes that are left there.
        """
        super().__init__(use)
        self.use = use
        self.needed_bytes = needed_bytes
        self.free = tuple(free)


def place(board: Board, needs: Needs) -> Layout:
    """Return where what a network needs goes on ``board``, a microcontroller.

    Raises:
        DoesNotFit: no bank is large enough.
        UserError: code and data share a bank, or what pointers lead to starts at address 0.
    """
    chosen = {use: board.placed(use) or board.banks(use)[0] for use in ("code", "data")}
    beside = board.placed("stack") or next(
        (bank for bank in board.banks("stack") if bank == chosen["data"]), None
    )
    chosen["stack"] = beside or board.banks("stack")[0]
    chosen["weights"] = _choose(board, "weights", needs.weights_bytes, _free(chosen, needs))
    chosen["arena"] = _choose(board, "arena", needs.arena_bytes, _free(chosen, needs))
    layout = Layout(tuple(_places(chosen)))
    _check(board, layout)
    return layout


def _check(board: Board, layout: Layout) -> None:
    """Refuse what the linker script cannot say and what C takes for no address at all."""
    where = f"board {board.id}"
    code = layout.of("code")
    if "data" in code.uses:
        raise UserError(
            where,
            "code and data lie in one region, where start-up would copy data over code",
            got=f"{code.bank.name} for both",
            expected="a region for code and another for data",
            action="Divide it in two in the board's file, or choose with --place data=REGION",
        )
    for place in layout.places:
        if place.bank.address == 0 and not {"code", "stack"} & set(place.uses):
            what = " and ".join(place.uses)
            raise UserError(
                where,
                f"{what} would start at address 0, which in C is no address",
                got=f"{place.bank.name} at 0x00000000",
                expected="code or stack first in a region at 0, or a region that starts later",
                action=f"Choose another with --place {place.uses[-1]}=REGION, or let the region "
                "start 8 bytes later in the board's file",
            )


def _free(chosen: dict[str, Bank], needs: Needs) -> dict[Bank, tuple[int, int]]:
    """Return for each bank in use the bytes that are taken, at least and with room to spare."""
    least = {"code": 0, "data": needs.edge_bytes, "stack": needs.stack_bytes}
    least["weights"] = needs.weights_bytes
    spare = {"code": CODE_BYTES, "data": VARIABLES_BYTES}
    taken: dict[Bank, tuple[int, int]] = {}
    for use, bank in chosen.items():
        low, high = taken.get(bank, (0, 0))
        taken[bank] = (low + least[use], high + least[use] + spare.get(use, 0))
    return taken


def _choose(board: Board, use: str, needed_bytes: int, taken: dict[Bank, tuple[int, int]]) -> Bank:
    """Return the bank for ``use``: one with room to spare if there is one."""
    banks = [forced] if (forced := board.placed(use)) else _in_order(board, use, taken)
    for kind in (1, 0):
        for bank in banks:
            if needed_bytes + taken.get(bank, (0, 0))[kind] <= bank.size_bytes:
                return bank
    free = [(bank, max(0, bank.size_bytes - taken.get(bank, (0, 0))[0])) for bank in banks]
    raise DoesNotFit(use, needed_bytes, free)


def by_speed(banks: Sequence[Bank]) -> list[Bank]:
    """Return ``banks``, the fastest first."""
    return sorted(banks, key=lambda bank: (bank.wait_states, bank.cached))


def _in_order(board: Board, use: str, taken: dict[Bank, tuple[int, int]]) -> list[Bank]:
    """Return the banks for ``use``, the one to try first first."""
    banks = by_speed(board.banks(use))
    if use == "weights":  # beside the code first, which comes first in what is taken
        code = next(iter(taken))
        banks.sort(key=lambda bank: bank != code)
    return banks


def _places(chosen: dict[str, Bank]) -> Iterator[Place]:
    seen: list[Bank] = []
    for use in ("code", "data", *USES):
        bank = chosen[use]
        if bank not in seen:
            seen.append(bank)
            uses = tuple(each for each in USES if chosen[each] == bank)
            yield Place(_LINKED.get(use, use.upper()), bank, uses)
