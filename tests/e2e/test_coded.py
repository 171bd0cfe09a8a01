"""Networks whose weights lie coded in flash: the equality chain, and what damage does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen import kernels
from codegen.emit import project
from codegen.formats.codecs import BY_NAME
from codegen.formats.storage import storage_name
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, Op
from codegen.graph.synthetic import random_images
from codegen.lower import lowering
from codegen.measure import bench, compare
from codegen.program.draft import Candidate
from codegen.program.program import Program
from codegen.target import runners, toolchain
from codegen.target.target import Target, resolve
from codegen.target.toolchain import Built
from tests.support.firmware.rig import SANITIZERS
from tests.support.projects import SHA256, coded_graph, need_tools

BOARDS = ("host", "qemu_m4", "qemu_m7")
MODES = ("inference", "level")

WANTED = {
    "conv0": ("dense", "raw", "lz4"),
    "conv1": ("nested", "deltas", "raw"),
    "conv2": ("nested", "lz4", "raw"),
    "conv3": ("nested", "deltas", "lz4"),
    "conv5": ("nested", "lz4", "lz4"),
    "conv6": ("nested", "raw", "lz4"),
    "linear7": ("nested", "deltas", "raw"),
    "linear8": ("dense", "raw", "lz4"),
}
"""Form, codec of positions and codec of weights of each layer of :func:`coded_graph`."""


UNWANTED_BYTES = 2**30


@pytest.fixture(autouse=True)
def _wanted_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the layers of :func:`coded_graph` be stored as :data:`WANTED` says."""
    every = kernels.candidates

    def wanted(op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        offered = list(every(op, graph, target))
        form, positions, weights = WANTED.get(op.name, ("", "raw", "raw"))
        codecs = {"positions": BY_NAME[positions], "weights": BY_NAME[weights]}
        name = storage_name(form, codecs)
        for item in offered:  # under "size" the fewest bytes win
            unwanted = item.storage != name and any(each.storage == name for each in offered)
            yield replace(item, stored_bytes=UNWANTED_BYTES) if unwanted else item

    monkeypatch.setattr(kernels, "candidates", wanted)


def write(folder: Path, graph: Graph, board_id: str, mode: str) -> Path:
    need_tools(board_id)
    return project.write(
        graph, SHA256, resolve(board_id, optimize="size", codecs="all", decode=mode), folder
    )


def made(folder: Path, board_id: str, mode: str) -> Built:
    return toolchain.build(write(folder, coded_graph(), board_id, mode))


def lowered(graph: Graph, mode: str) -> Program:
    return lowering.lower(graph, resolve("host", optimize="size", codecs="all", decode=mode))


@pytest.mark.parametrize("mode", MODES)
def test_the_network_has_every_storage(mode: str) -> None:
    packed = lowered(coded_graph(), mode)
    found = {}
    for layer in packed.layers:
        streams = layer.streams
        if streams:
            codecs = {
                (
                    stream.positions.coded.codec if stream.positions.coded else "raw",
                    stream.weights.coded.codec if stream.weights.coded else "raw",
                )
                for stream in streams
            }
            assert len(codecs) == 1 and len(streams) == 3
            found[layer.name] = ("nested", *codecs.pop())
        elif "weights" in layer.members and layer.members["weights"].coded:
            found[layer.name] = ("dense", "raw", layer.members["weights"].coded.codec)
    assert found == WANTED


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("board_id", BOARDS)
def test_every_machine_equals_the_reference(tmp_path: Path, board_id: str, mode: str) -> None:
    graph = coded_graph()
    built = made(tmp_path, board_id, mode)
    images = random_images(graph, 3, seed=5)
    compared = compare.compare(built, graph, (images,), [0, 1, 2], range(3))
    assert compared.bit_exact, "\n".join(map(str, compared.differences))
    order = (1, 0, 2, 0, 1, 2)  # up, down, and back
    result = runners.run(built, (images,), order)
    for position, level in enumerate(order):
        assert np.array_equal(result.outputs[0][position], reference.run_one(graph, images, level))


@pytest.mark.parametrize("mode", MODES)
def test_decoding_has_a_row_of_its_own(tmp_path: Path, mode: str) -> None:
    """Rows add up to the level; decoding once costs less than decoding at every inference."""
    built = made(tmp_path, "qemu_m4", mode)
    images = random_images(coded_graph(), 4, seed=6)
    measured = bench.measure(built, (images,), range(3))
    for level in measured.levels:
        names = [layer.name for layer in level.layers]
        assert names[-2:] == [bench.DECODE, bench.OTHER]
        assert sum(layer.instructions or 0 for layer in level.layers) == level.instructions
    decoding = [level.layers[-2].instructions or 0 for level in measured.levels]
    if mode == "inference":
        assert decoding == sorted(decoding) and decoding[0] > 0
    else:  # the first image decodes each level's own streams, the others nothing
        every_time = bench.measure(made(tmp_path / "each", "qemu_m4", "inference"), (images,), [2])
        assert 0 < 3 * sum(decoding) < (every_time.levels[0].layers[-2].instructions or 0)


def damage_program(folder: Path, graph: Graph, mode: str, checks_weights: bool) -> Path:
    """Build damage.c around a network with a writable weight image, with sanitizers."""
    source = write(folder / "project", graph, "host", mode)
    flags = ["-std=c11", "-O1", "-g", *SANITIZERS, "-Wall", "-Wextra", "-Werror", "-Ilibrary"]
    flags += [f"-DMODEL=nn_model_{graph.name}", f"-DNN_CHECK_WEIGHTS={int(checks_weights)}"]
    library = {path.name: str(path) for path in sorted((source / "library").rglob("*.c"))}
    weights = library.pop("weights.c")
    sources = [*library.values(), str(Path(__file__).with_name("damage.c"))]
    # The image is declared constant everywhere but where it is defined.
    writable = ["gcc", *flags, "-Dconst=", "-c", weights, "-o", "weights.o"]
    subprocess.run(writable, cwd=source, check=True)
    command = ["gcc", *flags, *sources, "weights.o", "-o", str(folder / "damage")]
    subprocess.run(command, cwd=source, check=True)
    return folder / "damage"


@pytest.mark.parametrize(("mode", "step"), [("inference", 1), ("level", 5)])
def test_a_damaged_stream_is_refused_or_harmless(tmp_path: Path, mode: str, step: int) -> None:
    """A change of every step-th coded byte of every layer, without the checksum's protection."""
    graph = coded_graph()
    packed = lowered(graph, mode)
    parts: list[str] = []
    size = 0
    for layer in packed.layers:
        for member in layer.all_members():
            if member.coded is not None:
                parts += [str(member.offset_bytes), str(member.size_bytes)]
                size += member.size_bytes
    program = damage_program(tmp_path, graph, mode, checks_weights=False)
    done = subprocess.run([program, str(step), *parts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    refused, accepted = (int(word) for word in done.stdout.split() if word.isdigit())
    assert refused + accepted >= size // step > 300
    assert refused > size // step // 20 and accepted > size // step // 20


def test_every_change_of_an_image_is_refused_at_init(tmp_path: Path) -> None:
    net = GraphBuilder((5, 7, 3), 2, 7, "tiny_image")
    net.conv("input", 5, (3, 3), group=4, densities=(0.2, 0.6))
    net.linear(net.last, 2, group=4, densities=(0.1, 0.3))
    graph = net.graph()
    packed = lowered(graph, "inference")
    assert packed.has_coded_streams
    program = damage_program(tmp_path, graph, "inference", checks_weights=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout == f"{256 * len(packed.image_bytes)} refused\n"


def test_only_decoders_in_use_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("stm32f7")
    linked: dict[str, set[str]] = {}
    for positions in ("raw", "lz4", "deltas"):
        monkeypatch.setitem(WANTED, "linear0", ("nested", positions, "raw"))
        net = GraphBuilder((1, 1, 37), 2, 3, "one_layer")
        net.linear("input", 7, group=4, densities=(0.2, 0.5))
        built = toolchain.build(write(tmp_path / positions, net.graph(), "stm32f7", "inference"))
        listing = subprocess.run(
            ["arm-none-eabi-nm", built.firmware_elf], capture_output=True, text=True, check=True
        )
        names = {line.split()[-1] for line in listing.stdout.splitlines()}
        linked[positions] = names & {"nn_lz4_decode", "nn_check_positions", "nn_deltas_decode"}
    assert linked["raw"] == set()
    assert linked["lz4"] == {"nn_lz4_decode", "nn_check_positions"}
    assert linked["deltas"] == {"nn_deltas_decode"}
