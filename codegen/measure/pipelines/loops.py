"""List the inner loops of a function with their estimated cycles, for hand-scheduling kernels.

    python -m codegen.measure.pipelines.loops ELF SYMBOL

Works on linked programs and object files. An inner loop is straight-line code that ends in a
branch back to its start; branches out of it count as not taken. Beside every instruction: what
it adds to one pass on either core (0 on the M7: it shares its cycle with the one before).
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

from codegen.errors import EXIT_CODE, UserError
from codegen.measure.pipelines import elf
from codegen.measure.pipelines.decode import Instruction, decode
from codegen.measure.pipelines.estimate import PRICERS
from codegen.measure.pipelines.trace import STEADY_REPEATS, Pricer, steady_cycles, steps


@dataclass(frozen=True)
class Loop:
    """An inner loop."""

    function: str
    instructions: tuple[Instruction, ...]
    """The last one branches to the first."""

    @property
    def multiplies(self) -> int:
        """Return the multiply-accumulates; SMLAD and its kin count as two."""
        dual = ("smlad", "smlsd", "smuad", "smusd", "smlald", "smlsld")
        return sum(
            2 if instruction.text.startswith(dual) else 1
            for instruction in self.instructions
            if instruction.kind.name == "MULTIPLY"
        )

    def cycles(self, core: str) -> float:
        """Return the estimated cycles of one pass in steady state, at zero wait states."""
        return steady_cycles(PRICERS[core], steps(self.instructions, taken=True))

    def cycles_each(self, core: str) -> tuple[float, ...]:
        """Return what each instruction adds in a settled pass."""
        return _cycles_each(PRICERS[core], self.instructions)


def find(elf_file: Path, symbol: str) -> tuple[Loop, ...]:
    """Return the inner loops of function ``symbol``, by address.

    Raises:
        UserError: no such file or function.
    """
    if not elf_file.is_file():
        raise _error("no such file", elf_file, "an ELF file", "Build the project first")
    pieces = elf.function_code(elf_file, symbol)
    if not pieces:
        raise _error(
            f"no function in {elf_file.name}", symbol, "a function's name",
            f"List them with `arm-none-eabi-nm {elf_file.name}`; inlined functions have none",
        )  # fmt: skip
    loops: list[Loop] = []
    for piece in pieces:
        instructions = decode(piece.code, piece.address)
        index = {instruction.address: i for i, instruction in enumerate(instructions)}
        for end, branch in enumerate(instructions):
            start = index.get(branch.target) if branch.target is not None else None
            if start is not None and start <= end and 14 not in branch.writes:
                body = instructions[start : end + 1]
                if _straight(body):
                    loops.append(Loop(piece.name, body))
    return tuple(sorted(loops, key=lambda loop: loop.instructions[0].address))


def _error(what: str, got: object, expected: str, action: str) -> UserError:
    return UserError("loops", what, got=got, expected=expected, action=action)


def _straight(body: tuple[Instruction, ...]) -> bool:
    """Tell whether nothing inside ``body`` loops, jumps within it or leaves unconditionally."""
    first, last = body[0].address, body[-1].address
    for instruction in body[:-1]:
        if instruction.writes_pc and not instruction.conditional:
            return False
        if instruction.target is not None and first <= instruction.target <= last:
            return False
    return True


def _cycles_each(pricer: Pricer, body: tuple[Instruction, ...]) -> tuple[float, ...]:
    settled = steps(body, taken=True) * STEADY_REPEATS
    last = steps(body, taken=True)
    totals = [pricer.cycles((*settled, *last[:count])) for count in range(len(body) + 1)]
    return tuple(after - before for before, after in itertools.pairwise(totals))


def report(loops: tuple[Loop, ...]) -> str:
    """Return the listing the command prints."""
    lines: list[str] = []
    for loop in loops:
        m4, m7 = loop.cycles("cortex-m4"), loop.cycles("cortex-m7")
        lines.append(
            f"{loop.function} at {loop.instructions[0].address:#x}: "
            f"{len(loop.instructions)} instructions, {loop.multiplies} MACs; "
            f"estimated cycles a pass: M4 {m4:g}, M7 {m7:g}"
        )
        lines.append("   M4   M7")
        each = zip(
            loop.instructions,
            loop.cycles_each("cortex-m4"),
            loop.cycles_each("cortex-m7"),
            strict=True,
        )
        lines += [
            f"{on_m4:5g}{on_m7:5g}  {instruction.address:8x}  {instruction.text}"
            for instruction, on_m4, on_m7 in each
        ]
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the command; return the process exit code."""
    if len(arguments) != 2:
        print("usage: python -m codegen.measure.pipelines.loops ELF SYMBOL", file=sys.stderr)
        return EXIT_CODE
    try:
        loops = find(Path(arguments[0]), arguments[1])
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_CODE
    print(report(loops) if loops else f"{arguments[1]}: no inner loops")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
