"""Boards: every shipped file loads; the schema is closed; mistakes name what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen import flow, paths
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_images
from codegen.target import boards
from tests.support.projects import need_tools, small_graph

VALID = (paths.boards() / "stm32f7.toml").read_text(encoding="utf-8")


def load_text(tmp_path: Path, text: str, name: str = "stm32f7") -> boards.Board:
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return boards.load_file(path)


@pytest.mark.parametrize("name", boards.names())
def test_every_shipped_board_loads(name: str) -> None:
    loaded = boards.load(name)
    assert loaded.id == name
    if not loaded.is_host:
        assert loaded.linked("flash").size_bytes >= 2**18
        assert loaded.linked("ram").size_bytes >= 2**14
        assert "-mthumb" in loaded.core.cpu_flags


def test_names_are_the_documented_ten() -> None:
    emulated = ("qemu_m0", "qemu_m3", "qemu_m33", "qemu_m4", "qemu_m55", "qemu_m7")
    assert boards.names() == ("host", *emulated, "stm32f4", "stm32f7", "stm32l4")


def test_a_core_without_dsp_cannot_have_it(tmp_path: Path) -> None:
    text = (paths.boards() / "qemu_m3.toml").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="no DSP instructions; got cortex-m3"):
        load_text(tmp_path, text.replace("has_dsp = false", "has_dsp = true"), "qemu_m3")


def test_real_boards_say_that_they_were_not_run() -> None:
    for name in ("stm32f4", "stm32f7", "stm32l4"):
        assert "not yet run on hardware" in boards.load(name).status


def test_contiguous_ram_is_one_region() -> None:
    ram = boards.load("stm32f7").linked("ram")
    assert (ram.address, ram.size_bytes) == (0x2000_0000, 512 * 1024)


def test_unknown_board_lists_the_valid_ones() -> None:
    with pytest.raises(UserError) as caught:
        boards.load("stm32f9")
    assert all(name in str(caught.value) for name in boards.names())


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ('title = "ST', 'colour = "red"\ntitle = "ST', "unknown key; got colour"),
        ('runner = "pyocd"', 'runner = "openocd"', "one of host, qemu, pyocd"),
        ('runner = "pyocd"', "", "no runner"),
        ("[part]\naddress = 0xE004_2000\ndevice_id = 0x451", "", "runner pyocd and part disagree"),
        ("device_id = 0x451", "", "no device_id"),
        ('runner = "pyocd"', 'runner = "qemu"', "qemu_machine"),
        ("clock_hz = 216_000_000", "clock_hz = -1", "0 or more"),
        ("clock_hz = 216_000_000", "clock_hz = true", "0 or more"),
        ("has_dsp = true", 'has_dsp = "yes"', "true or false"),
        ('use = "flash"', 'use = "rom"', "one of flash, ram, spare"),
        ('use = "flash"', 'use = "spare"', "no flash"),
        ("address = 0x2007_C000", "address = 0x2009_0000", "not contiguous"),
        ('id = "stm32f7"', 'id = "stm32f8"', "differs from the file name"),
        ('kind = "l1"', 'kind = "l1', "not valid TOML"),
    ],
)
def test_a_broken_board_file_is_refused(tmp_path: Path, old: str, new: str, fragment: str) -> None:
    assert old in VALID
    with pytest.raises(UserError) as caught:
        load_text(tmp_path, VALID.replace(old, new, 1))
    assert fragment in str(caught.value)


def test_a_host_board_has_no_memory_regions(tmp_path: Path) -> None:
    host = (paths.boards() / "host.toml").read_text(encoding="utf-8")
    region = '[[memory]]\nname = "X"\nuse = "ram"\naddress = 0\nsize_bytes = 1\nwait_states = 0\n'
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
    header = " ".join((tmp_path / "out/model.h").read_text().replace("*", " ").split())
    assert made.estimator in header


def test_a_chip_whose_core_no_emulator_has_is_refused_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = VALID.replace("cortex-m7", "cortex-m85")
    monkeypatch.setattr("codegen.target.boards.load", lambda name: load_text(tmp_path, text))
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph(), path)
    with pytest.raises(UserError, match="no emulator has this core; got cortex-m85"):
        flow.bench(path, "stm32f7", random_images(small_graph(), 1, 1), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
