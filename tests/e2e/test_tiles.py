"""An image in tiles: a program that includes model.h writes the mask that NumPy does."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen import tasks
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array
from codegen.graph.verify import verify
from codegen.target.target import resolve
from codegen.tasks import Outcome
from codegen.tasks.segmentation import MaskAnswer, Segmentation, masks, mean_iou
from nestnet import datasets
from tests.support.data_trees import Tree, encode, write_directory
from tests.support.edge_nets import TILE, segments_tiles
from tests.support.exports import int8
from tests.support.firmware.decoders import Machine
from tests.support.firmware.rig import HARNESS, M4_FLAGS, SANITIZERS, need, run_checked
from tests.support.firmware.tasks import record
from tests.support.projects import SHA256, WARNINGS

SIZES = ((13, 11), (29, 31), (7, 5), (12, 43), (40, 11), (1, 1), (14, 12))
"""Of images: one tile, primes, smaller than a tile along both axes and along one, just more."""
MAIN = """
#include "model.h"
#include "nn_port.h"

static uint8_t arena[NN_CELLS_ARENA_AND_EDGES_BYTES] __attribute__((aligned(NN_ARENA_ALIGN_BYTES)));
static int8_t image[4096];
static uint8_t mask[4096];

int main(void)
{
    nn_net net;
    uint16_t about[3]; /* height, width, level */
    const int from = nn_port_open_read("images.bin"), to = nn_port_open_write("masks.bin");
    if (from < 0 || to < 0 ||
        nn_init(&net, &nn_model_cells, arena, NN_CELLS_ARENA_BYTES) != NN_OK ||
        nn_segment_image(&nn_task_cells, &net, image, 13, 11, mask) != NN_ERR_NULL ||
        nn_init(&net, &nn_model_cells, arena, sizeof arena) != NN_OK) {
        return 2;
    }
    while (nn_port_read(from, about, sizeof about)) {
        const uint32_t pixels = (uint32_t)about[0] * about[1];
        if (!nn_port_read(from, image, pixels * NN_CELLS_INPUT_CHANNELS) ||
            nn_set_level(&net, about[2]) != NN_OK ||
            nn_segment_image(&nn_task_cells, &net, image, about[0], about[1], mask) != NN_OK ||
            !nn_port_write(to, mask, pixels)) {
            return 3;
        }
    }
    return nn_port_close(to) ? 0 : 4;
}
"""


def images() -> list[Int8Array]:
    random = np.random.default_rng(1)
    return [random.integers(-128, 128, (*size, 2)).astype(np.int8) for size in SIZES]


def in_numpy(graph: Graph, image: Int8Array) -> list[np.ndarray]:
    task = tasks.of(graph)
    assert isinstance(task, Segmentation)
    found = task.answers(graph, image)
    return [answer.mask for answer in found if isinstance(answer, MaskAnswer)]


def in_c(graph: Graph, folder: Path, machine: Machine) -> list[list[np.ndarray]]:
    made = project.write(graph, SHA256, resolve("host"), folder / "made")
    (folder / "main.c").write_text(MAIN, encoding="ascii")
    content = b""
    for image in images():
        for level in (0, 1):
            content += struct.pack("<3H", *image.shape[:2], level) + image.tobytes()
    (folder / "images.bin").write_bytes(content)
    library, firmware = made / "library", made / "library/firmware"
    sources = [folder / "main.c", library / "model.c", library / "weights.c"]
    sources += [firmware / f"{name}.c" for name in ("nestnet", "core/nn_crc32")]
    sources += [*sorted(firmware.glob("codecs/*.c")), firmware / "tasks/nn_segmentation.c"]
    options = ["-std=c99", "-O1", *WARNINGS, f"-I{library}", f"-I{made / 'rig/port'}"]
    if machine == "host":
        sources.append(made / "rig/port/nn_port_host.c")
        run_checked(["gcc", *options, *SANITIZERS, *map(str, sources), "-o", "cells"], folder)
        run_checked(["./cells"], folder)
    else:
        root = HARNESS.parents[2] / "firmware"
        sources += [root / "startup/nn_startup.c", root / "port/nn_port_semihosting.c"]
        command = [need("arm-none-eabi-gcc"), *M4_FLAGS, *options, "-nostartfiles"]
        command += ["--specs=nano.specs", "-Wl,--no-warn-rwx-segments"]
        command += ["-T", str(HARNESS / "qemu.ld")]
        run_checked([*command, *map(str, sources), "-o", "cells.elf"], folder)
        emulator = [need("qemu-system-arm"), "-M", machine, "-display", "none", "-monitor", "none"]
        emulator += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
        run_checked([*emulator, "-kernel", "cells.elf"], folder)
    data = np.frombuffer((folder / "masks.bin").read_bytes(), np.uint8)
    ends = np.cumsum([h * w for h, w in SIZES for _ in (0, 1)])
    parts = np.split(data, ends)
    assert len(parts.pop()) == 0
    return [
        [part.reshape(size) for part in parts[2 * index : 2 * index + 2]]
        for index, size in enumerate(SIZES)
    ]


@pytest.mark.parametrize(
    ("channels", "margin", "machine"), [(1, 2, "host"), (3, 5, "host"), (1, 2, "mps2-an386")]
)
def test_c_writes_the_mask_of_numpy(
    channels: int, margin: int, machine: Machine, tmp_path: Path
) -> None:
    graph = segments_tiles(channels, margin)
    found = in_c(graph, tmp_path, machine)
    for image, answers in zip(images(), found, strict=True):
        expected = in_numpy(graph, image)
        assert all(map(np.array_equal, answers, expected)), image.shape
    assert len(np.unique(found[1][0])) > 1 and not np.array_equal(*found[1])


def test_a_margin_gives_the_mask_of_the_whole_image_at_once() -> None:
    """With a margin as wide as the network sees; without one it is another mask."""
    random = np.random.default_rng(2)
    image = random.integers(-128, 128, (29, 31, 2)).astype(np.int8)
    large = wide(segments_tiles(1, 2), (29, 31))
    expected = [
        masks(Outcome(large, level, (), reference.run(large, (image[None],), level)))[0]
        for level in (0, 1)
    ]
    assert all(map(np.array_equal, in_numpy(segments_tiles(1, 2), image), expected))
    assert not all(map(np.array_equal, in_numpy(segments_tiles(1, 0), image), expected))


def test_the_score_of_test_tiles_is_that_of_whole_masks(tmp_path: Path) -> None:
    """What training, `nestnet run` and a device report is what a device makes of whole images."""
    random = np.random.default_rng(3)
    files: Tree = {"masks.toml": f'tile = {list(TILE)}\nmargin = 2\ntest = ["a", "c"]'.encode()}
    sizes = {"a": (29, 31), "b": TILE, "c": (11, 40)}
    drawn = {
        name: [random.integers(0, top, size).astype(np.uint8) for top in (256, 2)]
        for name, size in sizes.items()
    }
    for name, pair in drawn.items():
        for folder, numbers in zip(("images", "masks"), pair, strict=True):
            files[f"{folder}/{name}.png"] = encode(numbers)
    test = datasets.load("masks", write_directory(files, tmp_path)).test
    graph = segments_tiles(1, 2, inputs=1)
    inputs = (int8(test.images),)
    counts = np.zeros((2, 2), np.int64)
    for name in ("a", "c"):
        image, truth = drawn[name]
        said = in_numpy(graph, int8(image[..., None]))[1]
        counts += np.bincount(truth.reshape(-1) * 2 + said.reshape(-1), minlength=4).reshape(2, 2)
    outcome = Outcome(graph, 1, inputs, reference.run(graph, inputs, 1))
    task = tasks.of(graph)
    assert task is not None and task.score(outcome, test.targets) == mean_iou(counts)


def wide(graph: Graph, size: tuple[int, int]) -> Graph:
    """Return the same network for an input of another size."""
    values = [replace(value, shape=(*size, value.shape[2])) for value in graph.values]
    return verify(replace(graph, values=tuple(values)))


def test_a_network_that_was_trained_on_whole_images_takes_its_own_size() -> None:
    graph = segments_tiles(1, None)
    task = tasks.of(graph)
    assert task is not None and not task.takes_any_size(graph)
    with pytest.raises(UserError, match="wrong type or shape"):
        task.answers(graph, images()[1])


@pytest.mark.parametrize("margin", [-1.0, 2.5, 5.5, 6.0])
def test_a_margin_that_leaves_nothing_is_no_segmentation(margin: float) -> None:
    graph = segments_tiles(1, None)
    wrong = replace(graph, task=record("segmentation", threshold=(3.0,), margin=(margin,)))
    assert tasks.of(wrong) is None
