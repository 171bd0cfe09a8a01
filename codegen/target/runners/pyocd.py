"""Flash a project onto a board and run it through a debug probe. Not yet run on hardware."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from codegen.errors import UserError
from codegen.target.boards import Board
from codegen.target.emulator.counts import Counts
from codegen.target.toolchain import Built

TIMEOUT_S = 1800
_SYS_EXIT_EXTENDED = 0x20
_BKPT_SEMIHOSTING = 0xBEAB
_POLL_S = 0.0005
_DEVICE_ID_MASK = 0xFFF


class Target(Protocol):
    """The part of a pyOCD target that a run needs."""

    def resume(self) -> None:
        """Let the core run."""

    def is_halted(self) -> bool:
        """Whether the core stands still."""

    def read_core_register(self, register: str) -> Any:
        """Return a register."""

    def read16(self, address: int) -> int:
        """Return a half-word of memory."""

    def read32(self, address: int) -> int:
        """Return a word of memory."""


class Agent(Protocol):
    """The part of pyOCD's SemihostAgent that a run needs."""

    def check_and_handle_semihost_request(self) -> bool:
        """Serve the request the core halted for; False if it halted for something else."""


class BoardInfo(Protocol):
    """The part of what pyOCD knows of a probe's board that a message needs."""

    name: str


class Probe(Protocol):
    """The part of a pyOCD debug probe that choosing one needs."""

    @property
    def unique_id(self) -> str:
        """Its serial number."""

    @property
    def description(self) -> str:
        """What it is."""

    @property
    def associated_board_info(self) -> BoardInfo | None:
        """The board it is soldered to, if known."""


def execute(built: Built, folder: Path, levels: int, memory: Mapping[str, int]) -> Counts | None:
    """Flash runner.elf, let it run with its files in ``folder``; the board counts cycles itself.

    Nothing is erased before the probe is the only one, or the one asked for, and the chip behind
    it is the board's.

    Raises:
        UserError: pyOCD or the chip's pack is missing, no probe or several are connected, another
            chip is, or the program hangs.
    """
    del levels, memory
    probe = check_probe(built.board, built.probe)
    from pyocd.core.exceptions import Error as PyocdError
    from pyocd.core.session import Session
    from pyocd.debug.semihost import InternalSemihostIOHandler, SemihostAgent
    from pyocd.flash.file_programmer import FileProgrammer

    elf = str(built.runner_elf.resolve())
    try:
        # Any Cortex-M answers to this target; attaching stops and changes nothing.
        with Session(probe, target_override="cortex_m", connect_mode="attach") as session:
            check_part(session.board.target, built.board, _name(probe))
        with (
            Session(probe, target_override=built.board.chip.pyocd_target) as session,
            contextlib.chdir(folder),
        ):
            FileProgrammer(session).program(elf)
            target = session.board.target
            target.reset_and_halt()
            agent = SemihostAgent(target.get_target_context(), InternalSemihostIOHandler())
            try:
                serve(target, agent, TIMEOUT_S)
            finally:
                agent.cleanup()
    except PyocdError as error:
        raise _failed("the debug probe reported an error", str(error)) from error
    return None


def check_probe(board: Board, wanted: str | None) -> Any:
    """Return the debug probe a run on ``board`` will use; None for a board without one.

    Raises:
        UserError: ``wanted`` without need, pyOCD or the chip's pack is missing, or not exactly one
            probe is meant.
    """
    if board.chip.pyocd_target is None:
        if wanted is not None:
            raise UserError(
                "--probe",
                f"board {board.id} has no debug probe",
                got=wanted,
                expected="no --probe",
                action="Leave it out, or choose a real board with --board",
            )
        return None
    try:
        from pyocd.core.helpers import ConnectHelper
        from pyocd.target import TARGET
        from pyocd.target.pack.pack_target import ManagedPacks
    except ImportError as error:
        raise UserError(
            "pyocd",
            "pyOCD is not installed",
            got=str(error),
            expected="the Python package that serves debug probes",
            action="Install it: pip install pyocd",
        ) from error
    chip = board.chip.pyocd_target
    packed = (device.part_number.lower() for device in ManagedPacks.get_installed_targets())
    if chip not in TARGET and chip not in packed:
        raise UserError(
            "pyocd",
            f"it does not know the chip of board {board.id}",
            got=f"no pack for {chip}",
            expected="an installed CMSIS pack",
            action=f"Install it once: pyocd pack install {chip}",
        )
    return choose(ConnectHelper.get_all_connected_probes(blocking=False), wanted)


def choose(probes: Sequence[Probe], wanted: str | None) -> Probe:
    """Return the only probe, or the only one whose unique ID contains ``wanted``.

    Raises:
        UserError: there is none, or more than one: the message lists them.
    """
    if not probes:
        raise UserError(
            "pyocd",
            "no debug probe found",
            got="none connected",
            expected="a board on a debug probe that pyOCD can open",
            action="Connect the board and check that `pyocd list` shows its probe",
        )
    meant = [probe for probe in probes if (wanted or "").lower() in probe.unique_id.lower()]
    if len(meant) == 1:
        return meant[0]
    raise UserError(
        "--probe",
        "several debug probes are meant" if meant else "no such debug probe",
        got="; ".join(_name(probe) for probe in meant or probes),
        expected="one unique ID" if wanted is None else f"one unique ID that contains {wanted}",
        action="Name the board's probe: --probe followed by its unique ID, or enough of it",
    )


def check_part(target: Target, board: Board, probe: str) -> None:
    """Refuse a chip that is not the board's, by what it says of itself.

    Raises:
        UserError: another chip; nothing has been written to it.
    """
    part = board.chip.part
    assert part is not None
    found = target.read32(part.address) & _DEVICE_ID_MASK
    if found != part.device_id:
        raise UserError(
            f"board {board.id}",
            f"another chip is connected to {probe}; it was not touched",
            got=f"device id {found:#05x}",
            expected=f"{part.device_id:#05x} ({board.title})",
            action="Connect that board, choose its probe with --probe, or this chip's --board",
        )


def _name(probe: Probe) -> str:
    info = probe.associated_board_info
    return f"{probe.unique_id} ({info.name if info is not None else probe.description})"


def serve(target: Target, agent: Agent, timeout_s: float) -> None:
    """Run a halted target and serve its semihosting requests until it asks to exit.

    Raises:
        UserError: it halts for another reason, or does not end in time.
    """
    deadline = time.monotonic() + timeout_s
    target.resume()
    while True:
        if not target.is_halted():
            if time.monotonic() > deadline:
                raise _failed("the program does not end", f"nothing after {timeout_s} s")
            time.sleep(_POLL_S)
            continue
        pc = int(target.read_core_register("pc"))
        at_request = target.read16(pc) == _BKPT_SEMIHOSTING
        if at_request and target.read_core_register("r0") == _SYS_EXIT_EXTENDED:
            return
        if not agent.check_and_handle_semihost_request():
            raise _failed("the core halted outside a semihosting request", f"pc {pc:#010x}")
        target.resume()


def _failed(what: str, got: str) -> UserError:
    """Return the error of a run that had begun: probe and chip were there."""
    return UserError(
        "pyocd",
        what,
        got=got,
        expected="a program that runs to its end on the board",
        action="Check cable and power, reset the board, and run again",
    )
