"""The debug probe's loop, on a pretended core: no board is connected in tests."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codegen.errors import UserError
from codegen.target import boards
from codegen.target.runners import pyocd


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

    def read32(self, address: int) -> int:
        raise AssertionError(f"{address:#x} is not read while the program runs")

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
    with pytest.raises(UserError, match="outside a semihosting request; got pc 0x08000100") as e:
        pyocd.serve(core, core, timeout_s=5)
    assert "reset the board, and run again" in str(e.value)


def test_a_program_that_never_halts_times_out() -> None:
    with pytest.raises(UserError, match="does not end"):
        pyocd.serve(Core([]), Core([]), timeout_s=0.01)


@dataclass
class FakeBoardInfo:
    name: str


@dataclass
class FakeProbe:
    """A probe as pyOCD lists them."""

    unique_id: str
    description: str = "STLINK-V3"
    associated_board_info: FakeBoardInfo | None = None


PROBES = [
    FakeProbe("0668FF51", associated_board_info=FakeBoardInfo("NUCLEO-F412ZG")),
    FakeProbe("0668FF52"),
]


def test_the_only_probe_is_taken() -> None:
    assert pyocd.choose(PROBES[:1], None) is PROBES[0]
    assert pyocd.choose(PROBES, "ff52") is PROBES[1]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, "are meant; got 0668FF51 (NUCLEO-F412ZG); 0668FF52 (STLINK-V3)"),
        ("0668", "several debug probes"),
        ("0669", "no such debug probe; got 0668FF51 (NUCLEO-F412ZG); 0668FF52"),
    ],
)
def test_which_probe_is_never_guessed(wanted: str | None, words: str) -> None:
    with pytest.raises(UserError) as caught:
        pyocd.choose(PROBES, wanted)
    assert words in str(caught.value)


def test_no_probe_at_all() -> None:
    with pytest.raises(UserError, match=r"no debug probe found.* Connect the board"):
        pyocd.choose([], "0668")


def test_without_the_package_it_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyocd.core.helpers", None)
    with pytest.raises(UserError, match=r"pyOCD is not installed.* pip install pyocd") as caught:
        pyocd.check_probe(boards.load("stm32f4"), None)
    assert "onnect" not in str(caught.value)


@dataclass
class Chip:
    """A target that only tells what it is."""

    idcode: int

    def read32(self, address: int) -> int:
        assert address == 0xE004_2000
        return self.idcode


class FakePyocd:
    """Stand for the probes and sessions of pyOCD; note what is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, idcode: int, probes: list[Any]) -> None:
        self.events: list[str] = []
        core_session = pytest.importorskip("pyocd.core.session", reason="needs pyocd")
        helpers = pytest.importorskip("pyocd.core.helpers", reason="needs pyocd")
        programmer = pytest.importorskip("pyocd.flash.file_programmer", reason="needs pyocd")
        fake = self

        class Session:
            def __init__(self, probe: FakeProbe, **options: Any) -> None:
                fake.events.append(f"open {probe.unique_id} as {options['target_override']}")
                self.board = SimpleNamespace(target=Chip(idcode))

            def __enter__(self) -> Session:
                return self

            def __exit__(self, *_: object) -> None:
                fake.events.append("close")

        class Programmer:
            def __init__(self, session: Session) -> None:
                pass

            def program(self, elf: str) -> None:
                fake.events.append("erase")
                raise UserError("fake", "stop here", got="", expected="", action="")

        monkeypatch.setattr(core_session, "Session", Session)
        monkeypatch.setattr(programmer, "FileProgrammer", Programmer)
        monkeypatch.setattr(
            helpers.ConnectHelper, "get_all_connected_probes", lambda blocking: probes
        )


def execute(board_id: str, probe: str | None = None) -> None:
    built: Any = SimpleNamespace(
        board=boards.load(board_id), probe=probe, runner_elf=Path("runner.elf")
    )
    pyocd.execute(built, Path(), 1, {})


def test_another_chip_is_not_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakePyocd(monkeypatch, 0x1000_6451, PROBES[:1])
    with pytest.raises(UserError, match=r"another chip .*0668FF51 .*got device id 0x451"):
        execute("stm32f4")
    assert fake.events == ["open 0668FF51 as cortex_m", "close"]


def test_the_right_chip_behind_the_right_probe_is_programmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakePyocd(monkeypatch, 0x1000_6441, PROBES)
    with pytest.raises(UserError, match="stop here"):
        execute("stm32f4", "52")
    first = ["open 0668FF52 as cortex_m", "close"]
    assert fake.events == [*first, "open 0668FF52 as stm32f412xg", "erase", "close"]


def test_a_missing_pack_says_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakePyocd(monkeypatch, 0x470, PROBES[:1])
    packs = pytest.importorskip("pyocd.target.pack.pack_target", reason="needs pyocd")
    monkeypatch.setattr(packs.ManagedPacks, "get_installed_targets", lambda: [])
    with pytest.raises(UserError, match=r"pyocd pack install stm32l4r5zitx"):
        execute("stm32l4")
    assert fake.events == []


def test_a_board_without_a_probe_refuses_one() -> None:
    with pytest.raises(UserError, match="--probe: board qemu_m4 has no debug probe"):
        pyocd.check_probe(boards.load("qemu_m4"), "0668")
    assert pyocd.check_probe(boards.load("host"), None) is None
