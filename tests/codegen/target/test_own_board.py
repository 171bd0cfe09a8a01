"""A board file of the user's does what a shipped one does; a project keeps its own copy."""

from __future__ import annotations

import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from codegen import flow, paths
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_images
from codegen.target import boards, chips, cores, manifest, toolchain
from tests.support.commands import ROOT
from tests.support.projects import need_tools, small_graph

PAGE = (ROOT / "docs/howto/board.md").read_text(encoding="utf-8")
SHORT, EXAMPLE = (part.split("```")[0] for part in PAGE.split("```toml\n")[1:])
INLINE = EXAMPLE[EXAMPLE.index("[chip]") :]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the example of the page as a file, beside a network."""
    nestfile.save(small_graph(), tmp_path / "model.nestnet")
    path = tmp_path / "my_board.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def keys(record: type, table: str) -> set[str]:
    """Return the keys of a record as the page writes them."""
    return {f"{table}` `{field.name}" for field in fields(record)}


def test_the_page_explains_every_key() -> None:
    inner = {"[chip]` `cache", "[chip]` `part", "[chip]` `memory", "[chip]` `setup"}
    known = {field.name for field in fields(boards.Board)} | keys(chips.Chip, "[chip]") - inner
    known |= keys(chips.Cache, "[chip.cache]") | keys(chips.Part, "[chip.part]")
    known |= keys(chips.Setup, "[chip.setup]") | keys(chips.Memory, "[[chip.memory]]")
    core = {"[chip.core]` `fpu", "[chip.core]` `pricer", "[chip.core]` `over_m4_ratio"}
    known |= keys(cores.Core, "[chip.core]") - core
    known |= {"[chip.core.fpu]` `" + "`, `".join(cores.FPUS)}
    known |= {"[chip.core.cycles]` `pricer", "[chip.core.cycles]` `over_m4_ratio"}
    explained = re.findall(r"^\| `(.+?)` \| .+ \| .+ \|$", PAGE, flags=re.M)
    assert len(explained) == len(set(explained)) and set(explained) == known
    for words in (boards.RUNNERS, cores.names(), chips.CACHE_KINDS, chips.USES, cores.KERNELS):
        assert all(f"`{word}`" in PAGE for word in words)


@pytest.mark.parametrize("name", boards.names())
def test_a_board_reads_back_as_it_is_written(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    (tmp_path / boards.IN_PROJECT).write_text(boards.to_toml(board), encoding="utf-8")
    assert boards.of_project(tmp_path) == board


def test_the_example_builds_and_needs_its_file_no_more(own: Path, tmp_path: Path) -> None:
    need_tools("stm32f4")
    made = flow.codegen(tmp_path / "model.nestnet", str(own), tmp_path / "out", cycles="analytic")
    assert boards.IN_PROJECT in {str(path) for path in manifest.listed(made)}
    own.unlink()
    built = toolchain.build(made)
    assert (built.board.id, built.info.target.board.id) == ("my_board", "my_board")
    assert 0 < built.sizes.flash_bytes < 524_288
    assert "LENGTH = 131072" in (made / "rig/linker.ld").read_text().replace("K", "")


def test_a_changed_file_makes_another_project(own: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model.nestnet", tmp_path / "out"
    flow.prepare(model, str(own), out)
    before = (out / "rig/linker.ld").read_text()
    flow.prepare(model, str(own), out)
    assert (out / "rig/linker.ld").read_text() == before
    own.write_text(EXAMPLE.replace("131_072", "65_536"), encoding="utf-8")
    flow.prepare(model, str(own), out)
    assert (out / "rig/linker.ld").read_text() != before


def test_a_board_without_runner_is_counted_but_not_run(own: Path, tmp_path: Path) -> None:
    need_tools("qemu_m4")
    model, images = tmp_path / "model.nestnet", random_images(small_graph(), 1, 1)
    with pytest.raises(UserError, match=r"board my_board: nestnet cannot run it"):
        flow.run(model, str(own), images, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = flow.bench(model, str(own), images, out=tmp_path / "out")
    assert (found.board, found.executed_on) == ("my_board", "qemu_m4")
    assert all(level.instructions for level in found.levels)


def test_where_a_project_goes_by_default(own: Path) -> None:
    folder = flow.default_project(own.parent / "model.nestnet", boards.load(str(own)))
    assert folder == Path("build") / f"{own.parent.name}-my_board"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("stm32f4.toml", (paths.boards() / "stm32f4.toml").read_text(), "a shipped board has this id"),
    ("my_board.toml", EXAMPLE.replace("my_board", "my chip"), "expected an id: letters"),
    ("my_board.toml", EXAMPLE.replace("builds", "builds\\nclean:"), "printable text on one line"),
    ("my_board.toml", EXAMPLE.replace("131_072", "0"), "region RAM is tiny"),
    ("my_board.toml", EXAMPLE.replace("0x2000_0000", "0xFFFF_FFF0"), "a part of 4 GiB"),
    ("other.toml", EXAMPLE, "id differs from the file name"),
])  # fmt: skip
def test_what_no_board_is(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        boards.load(str(tmp_path / name))


def test_an_unknown_board_says_how_to_have_one() -> None:
    with pytest.raises(UserError, match=r"the path of a TOML file\. .*docs/howto/board\.md"):
        boards.load("nrf52840")
    with pytest.raises(UserError, match=r"nowhere\.toml: cannot read"):
        boards.load("nowhere.toml")
    shipped = paths.boards() / "qemu_m4.toml"
    assert boards.load(str(shipped)) == boards.load("qemu_m4")


def test_a_short_board_has_a_shipped_chip(tmp_path: Path) -> None:
    (tmp_path / "my_f7.toml").write_text(SHORT, encoding="utf-8")
    assert boards.load(str(tmp_path / "my_f7.toml")).chip == chips.load("stm32f767zi")


def test_chip_and_core_may_be_files_beside_the_board(tmp_path: Path) -> None:
    """A made-up core, chip and board, each one file and nothing else, become a C project."""
    core = (paths.cores() / "cortex-m33.toml").read_text().replace('cortex-m33"', 'star-mc9"', 1)
    core = core.replace('kernels = "dsp"', 'kernels = "portable"').replace('m33", ', 'm33+nodsp", ')
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/star.toml").write_text(core)
    board, _, chip = EXAMPLE.partition("[chip]\n")
    chip = chip.replace("chip.", "").replace('"cortex-m4"', '"star.toml"')
    (tmp_path / "parts/chip9.toml").write_text(chip)
    (tmp_path / "my_board.toml").write_text(board.strip() + '\nchip = "parts/chip9.toml"\n')
    nestfile.save(small_graph(), tmp_path / "model.nestnet")
    loaded = boards.load(str(tmp_path / "my_board.toml"))
    assert (loaded.core.name, loaded.core.has_dsp, loaded.chip.id) == ("star-mc9", False, "my_chip")
    need_tools("stm32f4")
    made = flow.codegen(tmp_path / "model.nestnet", str(tmp_path / "my_board.toml"), tmp_path / "p")
    shutil.rmtree(tmp_path / "parts")
    built = toolchain.build(made)
    assert built.board == loaded
    assert "-mcpu=cortex-m33+nodsp" in (made / "Makefile").read_text()
    assert "#define NN_BOARD_KERNELS portable" in (made / "library/model.c").read_text()


@pytest.mark.parametrize(("old", "new", "words"), [
    ('"cortex-m4"', '"cortex-m6"', r"core: unknown core; got 'cortex-m6', expected one of cortex-m0"
     r".*cortex-m85, host, the path of a TOML file, or a table \[core\]\. .*docs/howto/board\.md"),
    ('"cortex-m4"', '"mine.toml"', r"mine\.toml: cannot read"),
    (INLINE, 'chip = "stm32f9"', r"unknown chip; got 'stm32f9'.*stm32f767zi"),
    (INLINE, 'chip = "stm32f767"', r"Did you mean stm32f767zi\? Choose one, or describe"),
    ("[chip]\n", "[core]\n", r"facts of a chip beside the board's; got core.*docs/howto/board\.md"),
    ('fpu = "single"', 'fpu = "double"', r"expected one of none, single"),
])  # fmt: skip
def test_what_no_chip_and_no_core_is(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = EXAMPLE.replace(old, new)
    assert text != EXAMPLE
    if new == "[core]\n":
        text = text.replace("chip.", "")
    (tmp_path / "my_board.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        boards.load(str(tmp_path / "my_board.toml"))


def test_a_project_of_another_version_is_made_again(own: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model.nestnet", tmp_path / "out"
    flow.prepare(model, str(own), out)
    written = (out / boards.IN_PROJECT).read_text()
    (out / boards.IN_PROJECT).write_text(written.replace("[chip", "[unit"))
    with pytest.raises(UserError, match=r"not one this version .* Run `nestnet codegen` again"):
        boards.of_project(out)
