"""The library part of a project: alone, freestanding, and twice in one program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from codegen import board, reference
from codegen.synthetic import random_images

from .conftest import Build, small_graph


@pytest.mark.parametrize("board_id", ["host", "qemu_m4"])
def test_library_needs_no_library(build: Build, board_id: str, tmp_path: Path) -> None:
    """Freestanding, without start-up code, C library or main."""
    built = build(small_graph(), board_id)
    cross = "" if board_id == "host" else "arm-none-eabi-"
    target = board.load(board_id).core
    sources = ["model.c", "weights.c", "firmware/nestnet.c", "firmware/nn_crc32.c"]
    includes = ["-I.", "-Ifirmware", "-Ifirmware/kernels/portable"]
    if target.has_dsp:
        includes.insert(2, "-Ifirmware/kernels/dsp")
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
    command = [f"{cross}gcc" if cross else "cc", *target.cpu_flags, *target.fpu_flags, "-std=c11"]
    command += ["-O3", "-ffreestanding", "-nostdlib", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command += [*includes, *sources, str(tmp_path / "entry.c"), "-Wl,--entry=0"]
    if cross:
        command.append("-lgcc")
    subprocess.run([*command, "-o", str(tmp_path / "alone.elf")], cwd=built.project, check=True)


@pytest.mark.parametrize("board_id", ["host", "qemu_m7"])
def test_library_exports_nn_names_only(build: Build, board_id: str) -> None:
    built = build(small_graph(), board_id)
    nm = "nm" if board_id == "host" else "arm-none-eabi-nm"
    library = built.project / "build/libnestnet_model.a"
    text = subprocess.run(
        [nm, "-g", "--defined-only", library], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[-1] for line in text.splitlines() if len(line.split()) == 3]
    assert {"nn_model_tiny", "nn_weights_tiny", "nn_init", "nn_run"} <= set(names)
    assert all(name.startswith("nn_") for name in names), names


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


def test_two_networks_in_one_program(build: Build, tmp_path: Path) -> None:
    graphs = [small_graph("first", seed=1), small_graph("second", seed=2)]
    folders = [build(graph, "host").project for graph in graphs]
    for name, folder in zip(("first", "second"), folders, strict=True):
        (tmp_path / name).symlink_to(folder)
    (tmp_path / "main.c").write_text(TWO_NETWORKS)
    libraries = [str(folder / "build/libnestnet_model.a") for folder in folders]
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I.", "-Ifirst/firmware", "main.c"]
    subprocess.run([*command, *libraries, "-o", "two"], cwd=tmp_path, check=True)
    images = random_images(graphs[0], 5, seed=3)
    run = subprocess.run(
        [tmp_path / "two"], input=images.tobytes(), capture_output=True, check=True
    )
    outputs = np.frombuffer(run.stdout, np.int8).reshape(5, 2, 1, 1, 3)
    assert np.array_equal(outputs[:, 0], reference.run(graphs[0], images, 1))
    assert np.array_equal(outputs[:, 1], reference.run(graphs[1], images, 0))
