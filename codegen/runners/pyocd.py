"""Flash a project onto a board and run it through a debug probe. Not yet run on hardware."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from codegen.cycles.counts import Counts
from codegen.errors import UserError
from codegen.toolchain import Built

TIMEOUT_S = 1800
_SYS_EXIT_EXTENDED = 0x20
_BKPT_SEMIHOSTING = 0xBEAB
_POLL_S = 0.0005


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


class Agent(Protocol):
    """The part of pyOCD's SemihostAgent that a run needs."""

    def check_and_handle_semihost_request(self) -> bool:
        """Serve the request the core halted for; False if it halted for something else."""


def execute(built: Built, folder: Path, levels: int, memory: Mapping[str, int]) -> Counts | None:
    """Flash runner.elf, let it run with its files in ``folder``; the board counts cycles itself.

    Raises:
        UserError: pyOCD is missing, no probe is connected, or the program hangs.
    """
    del levels, memory
    try:
        from pyocd.core.exceptions import Error as PyocdError
        from pyocd.core.helpers import ConnectHelper
        from pyocd.debug.semihost import InternalSemihostIOHandler, SemihostAgent
        from pyocd.flash.file_programmer import FileProgrammer
    except ImportError as error:
        raise _failed("pyOCD is not installed", str(error)) from error
    elf = str(built.runner_elf.resolve())
    options = {"target_override": built.board.pyocd_target}
    try:
        session = ConnectHelper.session_with_chosen_probe(
            blocking=False, return_first=True, options=options
        )
        if session is None:
            raise _failed("no debug probe found", "none connected")
        with session, contextlib.chdir(folder):
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
    return UserError(
        "pyocd",
        what,
        got=got,
        expected="a board on a debug probe, served by pyOCD",
        action="Connect the board; `pyocd list` shows probes, `pyocd pack install` adds chips",
    )
