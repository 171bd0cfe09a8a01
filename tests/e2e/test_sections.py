"""What compilers add to a firmware lies where it is when the program runs, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.emit import project
from codegen.errors import UserError
from codegen.graph.synthetic import random_inputs
from codegen.measure import compare
from codegen.target import toolchain
from codegen.target.target import resolve
from tests.support.projects import SHA256, need_tools, small_graph


@pytest.mark.parametrize("board_id", ["qemu_m4", "qemu_m7", "qemu_m0"])
@pytest.mark.parametrize("flag", ["-fPIC", "-fpic"])
def test_position_independent_code_reads_its_table_of_addresses(
    board_id: str, flag: str, tmp_path: Path
) -> None:
    need_tools(board_id)
    graph = small_graph()
    folder = project.write(graph, SHA256, resolve(board_id), tmp_path / "out")
    built = toolchain.build(folder, {"EXTRA_CFLAGS": flag})
    made = compare.compare(built, graph, random_inputs(graph, 2, seed=3), None, range(2))
    assert made.bit_exact, "\n".join(map(str, made.differences))


def test_a_section_of_data_that_start_up_does_not_copy_is_refused(tmp_path: Path) -> None:
    need_tools("qemu_m4")
    folder = project.write(small_graph(), SHA256, resolve("qemu_m4"), tmp_path / "out")
    odd = '__attribute__((section(".odd"))) int nn_odd[3] = {1, 2, 3};\n'
    main = folder / "example/main.c"
    text = main.read_text().replace("int main(void)\n{", odd + "int main(void)\n{ nn_odd[1]++;")
    assert odd in text
    main.write_text(text)
    with pytest.raises(
        UserError, match=r"a section of data that linker\.ld does not name: .*\.nn_arena"
    ):
        toolchain.build(folder)


def test_an_arena_that_asks_for_its_section_links_where_the_arena_lies_in_ram(
    tmp_path: Path,
) -> None:
    need_tools("qemu_m4")
    folder = project.write(small_graph(), SHA256, resolve("qemu_m4"), tmp_path / "out")
    before = toolchain.build(folder).sizes
    main = folder / "example/main.c"
    text = main.read_text()
    named = text.replace("aligned(NN_ARENA", 'section(".nn_arena"), aligned(NN_ARENA')
    assert named != text
    main.write_text(named)
    after = toolchain.build(folder).sizes
    assert (after.ram_bytes, after.flash_bytes) == (before.ram_bytes, before.flash_bytes)
