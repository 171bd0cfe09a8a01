"""The library part of a project: alone, freestanding, and twice in one program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from codegen import flow
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ir import Graph
from codegen.graph.synthetic import random_images
from codegen.target import boards, toolchain
from codegen.target.target import resolve
from tests.support.projects import SHA256, WARNINGS, Build, need_tools, small_graph


@pytest.mark.parametrize("board_id", ["host", "qemu_m4", "qemu_m7"])
def test_library_needs_no_library(build: Build, board_id: str, tmp_path: Path) -> None:
    """Its folder elsewhere, every C file in it, no include path; freestanding, without a main."""
    built = build(small_graph(), board_id)
    shutil.copytree(built.project / "library", tmp_path / "vendor/my network")
    cross = "" if board_id == "host" else "arm-none-eabi-"
    target = boards.load(board_id)
    sources = [str(path) for path in sorted((tmp_path / "vendor").rglob("*.c"))]
    assert len({Path(source).name for source in sources}) == len(sources) >= 7
    (tmp_path / "entry.c").write_text(
        "#include <stddef.h>\n"
        "void *memcpy(void *to, const void *from, size_t n);\n"
        "void *memset(void *to, int value, size_t n);\n"
        "void *memcpy(void *to, const void *from, size_t n)\n"
        "{\n"
        "    for (size_t i = 0; i < n; i++)\n"
        "        ((volatile char *)to)[i] = ((const char *)from)[i];\n"
        "    return to;\n"
        "}\n"
        "void *memset(void *to, int value, size_t n)\n"
        "{\n"
        "    for (size_t i = 0; i < n; i++)\n"
        "        ((volatile char *)to)[i] = (char)value;\n"
        "    return to;\n"
        "}\n"
    )
    command = [f"{cross}gcc" if cross else "cc", *target.chip.compile_flags, "-std=c11"]
    command += ["-O3", "-ffreestanding", "-nostdlib", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command += [*sources, str(tmp_path / "entry.c"), "-Wl,--entry=0"]
    if cross:
        command.append("-lgcc")
    subprocess.run([*command, "-o", str(tmp_path / "alone.elf")], cwd=tmp_path, check=True)


@pytest.mark.parametrize("board_id", ["host", "qemu_m7"])
def test_library_exports_nn_names_only(build: Build, board_id: str) -> None:
    built = build(small_graph(), board_id)
    nm = "nm" if board_id == "host" else "arm-none-eabi-nm"
    library = built.project / "build/libnestnet_model.a"
    text = subprocess.run(
        [nm, "-g", "--defined-only", library], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[-1] for line in text.splitlines() if len(line.split()) == 3]
    assert {"nn_init", "nn_run"} <= set(names)
    network = {name for name in names if name.endswith(model_id(built.project))}
    assert {name[:-9] for name in network} == {"nn_model_tiny", "nn_weights_tiny"}
    assert all(name.startswith("nn_") for name in names), names


def model_id(project: Path) -> str:
    """Return what model.h says tells the network from another of its name."""
    text = (project / "library/model.h").read_text()
    found = re.search(r"#define NN_TINY_MODEL_ID 0x([0-9a-f]{8})u\n", text)
    assert found is not None
    return found[1]


TWO_NETWORKS = """
#include "first/model.h"
#include "second/model.h"
#include <stdio.h>

static uint8_t arenas[2][65536] __attribute__((aligned(NN_ARENA_ALIGN_BYTES)));
static int8_t in[NN_FIRST_INPUT_BYTES], out[NN_SECOND_OUTPUT_BYTES];

int main(void)
{
    nn_net nets[2];
    if (nn_init(&nets[0], &nn_model_first, arenas[0], sizeof arenas[0]) != NN_OK ||
        nn_init(&nets[1], &nn_model_second, arenas[1], sizeof arenas[1]) != NN_OK ||
        nn_set_level(&nets[1], 0) != NN_OK) {
        return 1;
    }
    while (fread(in, 1, sizeof in, stdin) == sizeof in) {
        for (int i = 0; i < 2; i++) {
            if (nn_run(&nets[i], in, out) != NN_OK) {
                return 2;
            }
            fwrite(out, 1, sizeof out, stdout);
        }
    }
    return 0;
}
"""


USES_IT = """
#include "{folder}/library/model.h"
#include <stdio.h>

static uint8_t arena[NN_SAME_ARENA_BYTES] __attribute__((aligned(NN_ARENA_ALIGN_BYTES)));

int run_{folder}(void);
int run_{folder}(void)
{{
    static int8_t in[NN_SAME_INPUT_BYTES], out[NN_SAME_OUTPUT_BYTES];
    nn_net net;
    if (nn_init(&net, &nn_model_same, arena, sizeof arena) != NN_OK ||
        nn_run(&net, in, out) != NN_OK) {{
        return 1;
    }}
    return fwrite(out, 1, sizeof out, stdout) == sizeof out ? 0 : 1;
}}
"""

RUNS_BOTH = """
int run_one(void);
int run_two(void);
int main(void)
{
    return run_one() || run_two();
}
"""


@pytest.fixture
def namesakes(tmp_path: Path) -> tuple[list[Graph], list[str]]:
    """Build two networks of one name below one/ and two/; return them and their libraries."""
    need_tools("host")
    graphs, libraries = [], []
    for folder, seed in (("one", 1), ("two", 2)):
        graph = small_graph("same", seed=seed)
        path = tmp_path / f"{folder}.nestnet"
        nestfile.save(graph, path)
        built = toolchain.build(flow.codegen(path, "host", tmp_path / folder))
        graphs.append(graph)
        libraries.append(str(built.project / "build/libnestnet_model.a"))
    return graphs, libraries


def compile_c(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I.", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_namesakes_in_one_file_do_not_compile(
    tmp_path: Path, namesakes: tuple[list[Graph], list[str]]
) -> None:
    (tmp_path / "both.c").write_text(
        '#include "one/library/model.h"\n#include "two/library/model.h"\n'
    )
    made = compile_c(tmp_path, "-c", "both.c")
    assert made.returncode != 0
    assert (
        "or one generated in two ways, are called same" in made.stderr and "--name" in made.stderr
    )
    (tmp_path / "twice.c").write_text(
        '#include "one/library/model.h"\n#include "one/library/model.h"\nint x;\n'
    )
    assert compile_c(tmp_path, "-c", "twice.c").returncode == 0


def test_namesakes_in_one_program_keep_their_own_weights(
    tmp_path: Path, namesakes: tuple[list[Graph], list[str]]
) -> None:
    graphs, libraries = namesakes
    for folder in ("one", "two"):
        (tmp_path / f"{folder}.c").write_text(USES_IT.format(folder=folder))
    (tmp_path / "main.c").write_text(RUNS_BOTH)
    made = compile_c(tmp_path, "main.c", "one.c", "two.c", *libraries, "-o", "both")
    assert made.returncode == 0, made.stderr
    run = subprocess.run([tmp_path / "both"], capture_output=True, check=True)
    image = np.zeros((1, 5, 7, 3), np.int8)
    expected = [reference.run_one(graph, image, 1).tobytes() for graph in graphs]
    assert expected[0] != expected[1]
    assert run.stdout == b"".join(expected)


def test_a_library_of_another_network_does_not_link(
    tmp_path: Path, namesakes: tuple[list[Graph], list[str]]
) -> None:
    (tmp_path / "one.c").write_text(USES_IT.format(folder="one"))
    (tmp_path / "main.c").write_text(
        "int run_one(void);\nint main(void)\n{\n    return run_one();\n}\n"
    )
    made = compile_c(tmp_path, "main.c", "one.c", namesakes[1][1], "-o", "wrong")
    assert made.returncode != 0 and "undefined reference to `nn_model_same_" in made.stderr


def test_a_name_of_its_own(tmp_path: Path) -> None:
    need_tools("host")
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph("same"), path)
    out = flow.codegen(path, "host", tmp_path / "out", name="keywords")
    assert "NN_KEYWORDS_ARENA_BYTES" in (out / "library/model.h").read_text()
    assert "same" not in (out / "library/model.c").read_text()
    (out / "library/weights.c").unlink()
    flow.prepare(path, "host", out)
    assert "nn_model_keywords" in (out / "library/model.h").read_text(), "building keeps the name"
    for bad in ("Keywords", "2nd", "a-b", "", "ü", "a" * 41):
        with pytest.raises(UserError, match=r"--name: not a name for C.*another --name"):
            flow.codegen(path, "host", tmp_path / "other", name=bad)
    assert not (tmp_path / "other").exists()


def test_two_networks_in_one_program(build: Build, tmp_path: Path) -> None:
    graphs = [small_graph("first", seed=1), small_graph("second", seed=2)]
    folders = [build(graph, "host").project for graph in graphs]
    for name, folder in zip(("first", "second"), folders, strict=True):
        (tmp_path / name).symlink_to(folder / "library")
    (tmp_path / "main.c").write_text(TWO_NETWORKS)
    libraries = [str(folder / "build/libnestnet_model.a") for folder in folders]
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I.", "main.c"]
    subprocess.run([*command, *libraries, "-o", "two"], cwd=tmp_path, check=True)
    images = random_images(graphs[0], 5, seed=3)
    run = subprocess.run(
        [tmp_path / "two"], input=images.tobytes(), capture_output=True, check=True
    )
    outputs = np.frombuffer(run.stdout, np.int8).reshape(5, 2, 1, 1, 3)
    assert np.array_equal(outputs[:, 0], reference.run_one(graphs[0], images, 1))
    assert np.array_equal(outputs[:, 1], reference.run_one(graphs[1], images, 0))


@pytest.mark.parametrize("decode", ["inference", "level"])
def test_all_in_one_translation_unit(decode: str, tmp_path: Path) -> None:
    """As a unity build has it; the second network has coded streams."""
    need_tools("host")
    graphs = [small_graph("first", seed=1), small_graph("second", seed=2)]
    plain = resolve("host", optimize="speed", codecs="raw")
    coded = resolve("host", optimize="size", codecs="all", decode=decode)
    for graph, target in zip(graphs, (plain, coded), strict=True):
        project.write(graph, SHA256, target, tmp_path / "made" / graph.name)
        (tmp_path / graph.name).symlink_to(tmp_path / "made" / graph.name / "library")
    assert "#define DECODE" in (tmp_path / "second/model.c").read_text()
    parts = [f"second/{file}.c" for file in ("model", "weights")]
    parts += [str(path.relative_to(tmp_path)) for path in (tmp_path / "first/").rglob("*.c")]
    text = "".join(f'#include "{part}"\n' for part in sorted(parts))
    (tmp_path / "main.c").write_text(text + TWO_NETWORKS)
    command = ["cc", "-std=c11", *WARNINGS, "-O2", "main.c", "-o", "two"]
    subprocess.run(command, cwd=tmp_path, check=True)
    images = random_images(graphs[0], 3, seed=3)
    run = subprocess.run(
        [tmp_path / "two"], input=images.tobytes(), capture_output=True, check=True
    )
    outputs = np.frombuffer(run.stdout, np.int8).reshape(3, 2, 1, 1, 3)
    for position, level in ((0, 1), (1, 0)):
        expected = reference.run_one(graphs[position], images, level)
        assert np.array_equal(outputs[:, position], expected)


@pytest.mark.parametrize(("first", "second", "agree"), [
    ("qemu_m0", "qemu_m0", True),
    ("qemu_m4", "qemu_m4", True),
    ("qemu_m7", "qemu_m7", True),
    ("qemu_m4", "qemu_m7", False),
    ("qemu_m7", "qemu_m4", False),
    ("qemu_m0", "qemu_m4", False),
])  # fmt: skip
def test_networks_for_other_kernels_are_refused_in_one_translation_unit(
    first: str, second: str, agree: bool, tmp_path: Path
) -> None:
    """Else the first one's kernels would silently serve both."""
    need_tools(second)
    for name, seed, board_id in (("first", 1, first), ("second", 2, second)):
        graph = small_graph(name, seed=seed)
        project.write(graph, SHA256, resolve(board_id), tmp_path / "made" / name)
        (tmp_path / name).symlink_to(tmp_path / "made" / name / "library")
    parts = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "first/").rglob("*.c"))
    parts += [f"second/{file}.c" for file in ("model", "weights")]
    (tmp_path / "both.c").write_text("".join(f'#include "{part}"\n' for part in parts))
    flags = boards.load(second).chip.compile_flags
    command = ["arm-none-eabi-gcc", *flags, "-std=c11", *WARNINGS, "-Wundef", "-fsyntax-only"]
    done = subprocess.run(
        [*command, "both.c"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    refused = "networks for boards with other kernels in one translation unit" in done.stderr
    assert (done.returncode == 0, refused) == (agree, not agree), done.stderr
