"""Boards: every shipped file loads; the schema is closed; mistakes name what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codegen import flow, paths
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_images
from codegen.measure.pipelines.estimate import PRICERS
from codegen.target import boards, chips, cores
from tests.support.projects import need_tools, small_graph

VALID = boards.to_toml(boards.load("stm32f7"))
"""With its chip and its core written out."""


def load_text(tmp_path: Path, text: str, name: str = "stm32f7") -> boards.Board:
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return boards.load_file(path)


@pytest.mark.parametrize("name", boards.names())
def test_every_shipped_board_loads(name: str) -> None:
    loaded = boards.load(name)
    assert loaded.id == name
    if not loaded.is_host:
        assert loaded.banks("code")[0].size_bytes >= 2**18
        assert loaded.banks("data")[0].size_bytes >= 2**14
        assert "-mthumb" in loaded.core.cpu_flags


def test_names_are_the_documented_eleven() -> None:
    emulated = ("qemu_m0", "qemu_m3", "qemu_m33", "qemu_m4", "qemu_m55", "qemu_m7")
    assert boards.names() == ("host", *emulated, "stm32f4", "stm32f7", "stm32h7", "stm32l4")


@pytest.mark.parametrize("name", chips.names())
def test_every_shipped_chip_loads(name: str) -> None:
    loaded = chips.load(name)
    assert loaded.id == name
    assert loaded.core == cores.load(loaded.core.name)


@pytest.mark.parametrize("name", cores.names())
def test_every_shipped_core_loads(name: str) -> None:
    loaded = cores.load(name)
    assert loaded.name == name
    if loaded.emulator is not None:
        emulated = boards.load(loaded.emulator)
        assert emulated.runner == "qemu"
        assert emulated.core.kernels == loaded.kernels, "counts would be of other code"
    if loaded.pricer is not None:
        assert PRICERS[loaded.pricer] and loaded.over_m4_ratio is not None


def test_kernels_are_the_sets_of_the_firmware() -> None:
    header = (paths.firmware() / "nn_kernels.h").read_text(encoding="utf-8")
    assert tuple(re.findall(r"#define NN_KERNELS_([a-z0-9]+) +\d", header)) == cores.KERNELS


def test_real_boards_say_that_they_were_not_run() -> None:
    for name in ("stm32f4", "stm32f7", "stm32h7", "stm32l4"):
        assert "not yet run on hardware" in boards.load(name).status


def test_regions_that_touch_and_serve_the_same_are_one_bank() -> None:
    (ram,) = boards.load("stm32f7").banks("arena")
    assert (ram.address, ram.size_bytes) == (0x2000_0000, 512 * 1024)
    assert ram.name == "DTCM+SRAM1+SRAM2"
    assert [bank.name for bank in boards.load("qemu_m4").banks("arena")] == ["SSRAM23", "PSRAM"]
    assert [bank.name for bank in boards.load("qemu_m4").banks("data")] == ["SSRAM23"]


def test_unknown_board_lists_the_valid_ones() -> None:
    with pytest.raises(UserError) as caught:
        boards.load("stm32f9")
    assert all(name in str(caught.value) for name in boards.names())


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ('title = "ST N', 'colour = "red"\ntitle = "ST N', "unknown key; got colour"),
        ('runner = "pyocd"', 'runner = "openocd"', "one of host, qemu, pyocd"),
        ('runner = "pyocd"', "", "no runner"),
        ("[chip.part]\naddress = 0xe0042000\ndevice_id = 0x451", "", "got no part"),
        ("device_id = 0x451", "", "no device_id"),
        ('runner = "pyocd"', 'runner = "qemu"', "qemu_machine"),
        ("clock_hz = 216000000", "clock_hz = -1", "a whole number of Hz"),
        ("clock_hz = 216000000", "clock_hz = true", "a whole number of Hz"),
        ("clock_hz = 216000000", "clock_hz = 216", "a whole number of Hz, as in 64_000_000"),
        ("clock_hz = 216000000", "clock_mhz = 216", "got clock_mhz, expected one of id, title"),
        ("size_bytes = 376832", "size_kb = 368", "got size_kb, expected one of name, use, address"),
        ("size_bytes = 376832", 'size_bytes = "368K"', "a whole number of bytes, as in 131_072"),
        ("size_bytes = 376832", "size_bytes = 368", "region SRAM1 is tiny; got 368"),
        ('kernels = "m7"', 'kernels = "helium"', "one of portable, dsp, m7"),
        ('fpu = "double"', 'fpu = "quad"', "one of none, single, double"),
        ("over_m4_ratio = 0.64", "over_m4_ratio = 0", "a number above 0"),
        ('use = ["code", "weights"]', 'use = ["rom"]', "one of code, weights, data, stack, arena"),
        ('use = ["code", "weights"]', "use = []", "a region without a use"),
        ('use = ["spare"]', 'use = ["spare", "arena"]', "spare alone"),
        ('use = ["code", "weights"]', 'use = ["weights"]', "no region for code"),
        ('"stack", ', "", "no region for stack; got FLASH_AXI (code+weights), ITCM (spare)"),
        ("address = 0x20020000", "address = 0x2001ffff", "DTCM ends at 0x20020000, SRAM1 starts"),
        ('name = "SRAM2"', 'name = "SRAM1"', "two regions of one name; got SRAM1"),
        ('name = "SRAM2"', 'name = "SRAM 2"', "not a region's name"),
        ('id = "stm32f7"', 'id = "stm32f8"', "differs from the file name"),
        ('kind = "l1"', 'kind = "l1', "not valid TOML"),
        ("cached = true", "cached = 1", "true or false"),
    ],
)
def test_a_broken_board_file_is_refused(tmp_path: Path, old: str, new: str, fragment: str) -> None:
    assert old in VALID
    with pytest.raises(UserError) as caught:
        load_text(tmp_path, VALID.replace(old, new))
    assert fragment in str(caught.value)


def test_a_host_board_has_no_memory_regions(tmp_path: Path) -> None:
    host = boards.to_toml(boards.load("host"))
    region = '[[chip.memory]]\nname = "X"\nuse = ["data"]\naddress = 0\nsize_bytes = 1024\n'
    region += "wait_states = 0\ncached = false\n"
    with pytest.raises(UserError, match="memory regions on the host"):
        load_text(tmp_path, host + region, "host")


def test_a_core_without_pricer_is_counted_but_not_estimated(tmp_path: Path) -> None:
    need_tools("qemu_m33")
    graph = small_graph()
    path = tmp_path / "model.nestnet"
    nestfile.save(graph, path)
    made = flow.bench(path, "qemu_m33", random_images(graph, 1, 1), out=tmp_path / "out")
    assert all(level.instructions for level in made.levels)
    assert "cortex-m33 has no model, so nn_fit_cycles answers" in made.estimator
    header = " ".join((tmp_path / "out/library/model.h").read_text().replace("*", " ").split())
    assert made.estimator in header


def test_a_chip_whose_core_no_emulator_has_is_refused_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = VALID.replace('name = "cortex-m7"', 'name = "cortex-m85"')
    text = text.replace('emulator = "qemu_m7"\n', "")
    monkeypatch.setattr("codegen.target.boards.load", lambda name: load_text(tmp_path, text))
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph(), path)
    with pytest.raises(UserError, match="no emulator has this core; got cortex-m85"):
        flow.bench(path, "stm32f7", random_images(small_graph(), 1, 1), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
