"""The debug probe's loop, on a pretended core: no board is connected in tests."""

from __future__ import annotations

import pytest

from codegen.errors import UserError
from codegen.runners import pyocd


class Core:
    """A core that halts at scripted reasons: ("call", r0) or ("fault", 0)."""

    def __init__(self, script: list[tuple[str, int]]) -> None:
        self.script = script
        self.resumed = 0
        self.served: list[int] = []

    def resume(self) -> None:
        self.resumed += 1

    def is_halted(self) -> bool:
        return self.resumed > len(self.served) and bool(self.script)

    def read_core_register(self, register: str) -> int:
        return {"pc": 0x0800_0100, "r0": self.script[0][1]}[register]

    def read16(self, address: int) -> int:
        assert address == 0x0800_0100
        return 0xBEAB if self.script[0][0] == "call" else 0xBF00

    def check_and_handle_semihost_request(self) -> bool:
        kind, operation = self.script.pop(0)
        self.served.append(operation)
        return kind == "call"


def test_requests_are_served_until_exit() -> None:
    core = Core([("call", 1), ("call", 6), ("call", 5), ("call", 0x20), ("call", 9)])
    pyocd.serve(core, core, timeout_s=5)
    assert core.served == [1, 6, 5]
    assert core.resumed == 4


def test_another_halt_is_an_error() -> None:
    core = Core([("call", 1), ("fault", 0)])
    with pytest.raises(UserError, match="outside a semihosting request; got pc 0x08000100"):
        pyocd.serve(core, core, timeout_s=5)


def test_a_program_that_never_halts_times_out() -> None:
    with pytest.raises(UserError, match="does not end"):
        pyocd.serve(Core([]), Core([]), timeout_s=0.01)
