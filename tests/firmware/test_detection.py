"""Boxes in C are those of NumPy, bit for bit: on the host and on an emulated Cortex-M4."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from codegen.tasks import _boxes
from codegen.tasks._boxes import Decoder, Edge, IntArray, decoder
from tests.support.firmware.rig import (
    FIRMWARE,
    HARNESS,
    M4_FLAGS,
    SANITIZERS,
    STANDARD,
    WARNINGS,
    need,
    run_checked,
)

HERE = Path(__file__).parent
SOURCES = [HERE / "detection_test.c", FIRMWARE / "nestnet.c", FIRMWARE / "port/nn_mark.c"]
SOURCES += [FIRMWARE / f"tasks/nn_{task}.c" for task in ("detection", "classification")]
SOURCES += [FIRMWARE / "core/nn_crc32.c"]
_SCALE = "<2Hi2bBx"
_CASE = "<2B3HhH"
"""As nn_detection.h has a scale, and detection_test.c what follows the scales and anchors."""


MOST_ANCHORS = 36
"""Of all scales, as detection_test.c has room for."""


@dataclass(frozen=True)
class Case:
    """One network's outputs, and how they are read."""

    decoder: Decoder
    maps: tuple[np.ndarray, ...]
    min_score: int
    room: int

    def expected(self) -> IntArray:
        """Return what NumPy makes of it."""
        return self.decoder.decode(self.maps, self.min_score, self.room)

    def content(self) -> bytes:
        """Return it as the C program reads it."""
        made = self.decoder
        (height, width), parts = made.image, []
        for scale in made.scales:
            numbers = scale.height, scale.width, scale.logit, scale.class_zero, scale.box_zero
            parts.append(struct.pack(_SCALE, *numbers, len(scale.anchors)))
        parts.append(bytes(struct.calcsize(_SCALE) * (_boxes.SCALES - len(parts))))
        steps = [step for scale in made.scales for pair in scale.anchors for step in pair]
        steps += [0] * (2 * MOST_ANCHORS - len(steps))
        parts.append(struct.pack(f"<{2 * MOST_ANCHORS}i", *steps))
        about = len(made.scales), made.percent, made.classes, 16 * width, 16 * height
        parts.append(struct.pack(_CASE, *about, self.min_score, self.room))
        return b"".join([*parts, *(each.tobytes() for each in self.maps)])


def drawn(random: np.random.Generator) -> Case | None:
    """Draw a case: few values in the scores make ties, wide ones saturate, small cells overlap."""
    classes = int(random.choice([1, 2, 3, 7]))
    cells = int(random.choice([1, 2, 3, 5, 8]))
    per_cell = int(random.choice([1, 1, 3, 4, 6]))
    anchors: list[tuple[float, float]] = []
    image = (16 * int(random.integers(1, 6)), 16 * int(random.integers(1, 6)))
    if cells in (3, 5):
        image = (cells * int(random.integers(1, 30)), cells * int(random.integers(1, 30)))
    edges: list[Edge] = []
    maps: list[np.ndarray] = []
    spread = int(random.choice([2, 12, 256]))
    if image[0] * image[1] * per_cell * (classes + 4) > 2**17 * cells**2:
        per_cell = 1  # more than there is room for
    for _ in range(int(random.integers(1, _boxes.SCALES + 1))):
        shape = (image[0] // cells, image[1] // cells)
        if min(shape) < 1:
            break
        anchors += random.integers(1, 16 * max(image), (per_cell, 2)).astype(float).tolist()
        for channels, scale in (
            (classes * per_cell, random.uniform(0.01, 7.9)),
            (4 * per_cell, random.uniform(0.004, 1)),
        ):
            zero = int(random.integers(-128, 128))
            low = int(random.integers(-128, 128 - spread)) if spread < 128 else -128
            values = random.integers(
                low, low + (spread if spread < 128 else 256), (*shape, channels)
            )
            edges.append(Edge((*shape, channels), float(np.float32(scale)), zero))
            maps.append(values.astype(np.int8))
        cells *= 2
    percent, room = int(random.choice([0, 30, 50, 60, 100])), int(random.choice([1, 5, 64, 99]))
    own = anchors if per_cell > 1 else ()
    made = decoder(image, edges, percent, own) if edges else None
    return (
        None if made is None else Case(made, tuple(maps), int(random.integers(-9000, 4000)), room)
    )


def run(cases: Sequence[Case], folder: Path, command: Sequence[str]) -> list[IntArray]:
    """Return what the program started by ``command`` makes of ``cases``."""
    (folder / "cases.bin").write_bytes(b"".join(case.content() for case in cases))
    run_checked([*command], folder)
    content = (folder / "outputs.bin").read_bytes()
    found: list[IntArray] = []
    at = 0
    for _ in cases:
        (count,) = struct.unpack_from("<I", content, at)
        rows = np.frombuffer(content, "<i2", 6 * count, at + 4).reshape(count, 6)
        found.append(rows.astype(np.int64))
        at += 4 + 12 * count
    assert at == len(content)
    return found


def on_host(folder: Path) -> list[str]:
    """Build the program for this computer; return its command."""
    sources = [*SOURCES, FIRMWARE / "port/nn_port_host.c"]
    include = [f"-I{FIRMWARE}", f"-I{FIRMWARE / 'port'}"]
    command = [need("gcc"), *STANDARD, *WARNINGS, "-O1", *SANITIZERS, *include]
    run_checked([*command, "-o", "detect", *map(str, sources)], folder)
    return ["./detect"]


def check(cases: Sequence[Case], found: Sequence[IntArray]) -> None:
    for number, (case, mine) in enumerate(zip(cases, found, strict=True)):
        np.testing.assert_array_equal(mine, case.expected(), err_msg=f"case {number}: {case}")


def several(seed: int, count: int) -> list[Case]:
    """Return drawn cases and the edges of what is possible."""
    random = np.random.default_rng(seed)
    return [case for case in (drawn(random) for _ in range(count)) if case] + edge_cases()


def test_boxes_on_the_host_are_those_of_numpy(tmp_path: Path) -> None:
    cases = several(20, 800)
    found = run(cases, tmp_path, on_host(tmp_path))
    check(cases, found)
    counts = [len(each) for each in found]
    assert max(counts) == _boxes.MOST and min(counts) == 0
    above = sum(int((case.maps[0].max(axis=2) > 0).sum()) > _boxes.CANDIDATES for case in cases)
    assert above > 20


def one(side: int, logit: float, distance: float, zero: int = -128) -> Decoder | None:
    """Return the decoder of a single cell."""
    edges = (Edge((1, 1, 1), logit, zero), Edge((1, 1, 4), distance, zero))
    return decoder((side, side), edges, 60)


LARGEST = 7.99999


def edge_cases() -> list[Case]:
    """The largest image and steps that are taken, scores that saturate, no room, every limit."""
    full = np.full((1, 1, 4), 127, np.int8)
    score = np.full((1, 1, 1), 127, np.int8)
    step = 128 / 2047
    made = [one(2047, LARGEST, step * 0.999), one(64, 1.0, 1.999), one(64, LARGEST, 1.0, 127)]
    made += [one(64, 8 / 255, 1.0), one(64, 0.5, 1e-4)]
    cases = [Case(each, (score, full), 0, 8) for each in made if each is not None]
    assert len(cases) == 5
    first = cases[1].decoder
    limits = [(32767, 8), (-32768, 8), (0, 0), (32767, 1)]
    return cases + [Case(first, (score, full), low, room) for low, room in limits]


@pytest.mark.parametrize("made", [
    one(2048, 1.0, 0.01), one(64, 8.0, 1.0), one(64, 1.0, 2.0), one(64, 1e-9, 1.0),
    one(64, 1.0, 1e-9),
    decoder((3, 5), (Edge((4, 5, 1), 1.0, 0), Edge((4, 5, 4), 1.0, 0)), 60),
    decoder((64, 64), (Edge((1, 1, 4), 1.0, 0), Edge((1, 1, 8), 1.0, 0)), 60),
    decoder((64, 64), (Edge((1, 1, 4), 1.0, 0), Edge((1, 1, 8), 1.0, 0)), 60, [(8, 8)]),
    decoder((64, 64), (Edge((1, 1, 4), 1.0, 0), Edge((1, 1, 8), 1.0, 0)), 60, [(8, 8)] * 3),
    decoder((64, 64), (Edge((1, 1, 4), 1.0, 0), Edge((1, 1, 8), 1.0, 0)), 60, [(8, 8), (8, 0)]),
    decoder((64, 64), (Edge((1, 1, 3), 1.0, 0), Edge((1, 1, 8), 1.0, 0)), 60, [(8, 8)] * 2),
    decoder((64, 64), (Edge((1, 1, 1), 1.0, 0),), 60),
    decoder((64, 64), (Edge((1, 1, 1), 1.0, 0), Edge((1, 1, 3), 1.0, 0)), 60),
    decoder((64, 64), (Edge((1, 1, 1), 1.0, 0), Edge((1, 1, 4), 1.0, 0)) * 7, 60),
    decoder((512, 512), (Edge((512, 512, 1), 1.0, 0), Edge((512, 512, 4), 1.0, 0)), 60),
])  # fmt: skip
def test_what_the_integers_cannot_hold_is_no_detector(made: Decoder | None) -> None:
    assert made is None


def test_boxes_on_an_emulated_core_are_those_of_numpy(tmp_path: Path) -> None:
    compiler, emulator = need("arm-none-eabi-gcc"), need("qemu-system-arm")
    sources = [*SOURCES, FIRMWARE / "port/nn_port_semihosting.c"]
    sources += [FIRMWARE / "startup/nn_startup.c"]
    include = [f"-I{FIRMWARE}", f"-I{FIRMWARE / 'port'}"]
    command = [compiler, *M4_FLAGS, *STANDARD, *WARNINGS, "-O2", *include, "-nostartfiles"]
    command += ["--specs=nano.specs", "-Wl,--no-warn-rwx-segments", "-T", str(HARNESS / "qemu.ld")]
    run_checked([*command, "-o", "detect.elf", *map(str, sources)], tmp_path)
    cases = several(21, 200)
    qemu = [emulator, "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none"]
    qemu += ["-semihosting-config", "enable=on,target=native", "-kernel", "detect.elf"]
    check(cases, run(cases, tmp_path, qemu))


@pytest.mark.parametrize("broken", [
    ("key > heap[0]", "key >= heap[0] + 70000u"),
    ("* 100u > (uint64_t)all", "* 100u >= (uint64_t)all"),
    ("(NN_LAST - number)", "number"),
    ("anchor += number % scale->anchors;", "anchor += 0;"),
])  # fmt: skip
def test_the_comparison_would_notice(broken: tuple[str, str], tmp_path: Path) -> None:
    text = (FIRMWARE / "tasks/nn_detection.c").read_text(encoding="ascii")
    assert text.count(broken[0]) == 1
    header = FIRMWARE / "tasks/nn_detection.h"
    changed = text.replace(*broken).replace('"nn_detection.h"', f'"{header}"')
    (tmp_path / "nn_detection.c").write_text(changed, encoding="ascii")
    sources = [p for p in SOURCES if p.name != "nn_detection.c"] + [
        FIRMWARE / "port/nn_port_host.c"
    ]
    include = [f"-I{FIRMWARE}", f"-I{FIRMWARE / 'port'}"]
    command = [need("gcc"), *STANDARD, "-O1", *include, "-o", "detect", "nn_detection.c"]
    run_checked([*command, *map(str, sources)], tmp_path)
    cases = several(20, 400)
    with pytest.raises(AssertionError):
        check(cases, run(cases, tmp_path, ["./detect"]))
