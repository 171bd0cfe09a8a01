"""A board file of the user's does what a shipped one does; a project keeps its own copy."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from codegen import flow, paths
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.synthetic import random_images
from codegen.target import boards, manifest, toolchain
from tests.support.commands import ROOT
from tests.support.projects import need_tools, small_graph

PAGE = (ROOT / "docs/boards.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.split("```toml\n")[1].split("```")[0]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the example of the page as a file, beside a network."""
    nestfile.save(small_graph(), tmp_path / "model.nestnet")
    path = tmp_path / "my_chip.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def test_the_page_explains_every_key() -> None:
    known = {field.name for field in fields(boards.Board)} - {"core", "cache", "part", "memory"}
    known |= {f"[core]` `{field.name}" for field in fields(boards.Core)}
    known |= {f"[cache]` `{field.name}" for field in fields(boards.Cache)}
    known |= {f"[part]` `{field.name}" for field in fields(boards.Part)}
    known |= {f"[[memory]]` `{field.name}" for field in fields(boards.Memory)}
    explained = re.findall(r"^\| `(.+?)` \| .+ \| .+ \|$", PAGE, flags=re.M)
    assert len(explained) == len(set(explained)) and set(explained) == known
    for words in (boards.RUNNERS, boards.CORES, boards.CACHE_KINDS, boards.MEMORY_USES):
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
    assert (built.board.id, built.info.target.board.id) == ("my_chip", "my_chip")
    assert 0 < built.sizes.flash_bytes < 524_288
    assert "LENGTH = 131072" in (made / "linker.ld").read_text().replace("K", "")


def test_a_changed_file_makes_another_project(own: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model.nestnet", tmp_path / "out"
    flow.prepare(model, str(own), out)
    before = (out / "linker.ld").read_text()
    flow.prepare(model, str(own), out)
    assert (out / "linker.ld").read_text() == before
    own.write_text(EXAMPLE.replace("131_072", "65_536"), encoding="utf-8")
    flow.prepare(model, str(own), out)
    assert (out / "linker.ld").read_text() != before


def test_a_board_without_runner_is_counted_but_not_run(own: Path, tmp_path: Path) -> None:
    need_tools("qemu_m4")
    model, images = tmp_path / "model.nestnet", random_images(small_graph(), 1, 1)
    with pytest.raises(UserError, match=r"board my_chip: nestnet cannot run it"):
        flow.run(model, str(own), images, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = flow.bench(model, str(own), images, out=tmp_path / "out")
    assert (found.board, found.executed_on) == ("my_chip", "qemu_m4")
    assert all(level.instructions for level in found.levels)


def test_where_a_project_goes_by_default(own: Path) -> None:
    folder = flow.default_project(own.parent / "model.nestnet", boards.load(str(own)))
    assert folder == Path("build") / f"{own.parent.name}-my_chip"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("stm32f4.toml", (paths.boards() / "stm32f4.toml").read_text(), "a shipped board has this id"),
    ("my_chip.toml", EXAMPLE.replace("my_chip", "my chip"), "not an id|differs from the file"),
    ("my_chip.toml", EXAMPLE.replace("builds", "builds\\nclean:"), "printable text on one line"),
    ("my_chip.toml", EXAMPLE.replace("131_072", "0"), "no such region as RAM"),
    ("my_chip.toml", EXAMPLE.replace("0x2000_0000", "0xFFFF_FFF0"), "a part of 4 GiB"),
    ("other.toml", EXAMPLE, "id differs from the file name"),
])  # fmt: skip
def test_what_no_board_is(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        boards.load(str(tmp_path / name))


def test_an_unknown_board_says_how_to_have_one() -> None:
    with pytest.raises(UserError, match=r"the path of a TOML file\. .*docs/boards\.md"):
        boards.load("nrf52840")
    with pytest.raises(UserError, match=r"nowhere\.toml: cannot read"):
        boards.load("nowhere.toml")
    shipped = paths.boards() / "qemu_m4.toml"
    assert boards.load(str(shipped)) == boards.load("qemu_m4")
