"""The decoders of coded streams: right on every block, in bounds on every damaged one."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lz4 import block

from codegen.errors import UserError
from codegen.formats import nested
from codegen.formats.base import Stream
from codegen.formats.codecs import deltas, lz4
from codegen.measure.pipelines import elf, estimate
from tests.support.firmware.decoders import (
    MACHINES,
    Answer,
    Machine,
    Request,
    lz4_bytes,
    positions_fit,
    run,
)
from tests.support.firmware.rig import FIRMWARE, M4_FLAGS, need, run_checked
from tests.support.weight_maps import coded_with

Batch = tuple[Request, bytes]
"""A block and what it holds."""

COMPILED = settings(
    max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
"""One example is a batch of blocks: every example compiles and runs a program."""


def lz4_block(data: bytes, stored: bytes | None = None, misalign_bytes: int = 0) -> Batch:
    """Return a request to decode ``data``."""
    stored = lz4.encode(data) if stored is None else stored
    return Request("lz4", stored, len(data), misalign_bytes=misalign_bytes), data


def deltas_block(
    present: np.ndarray, group: int, misalign_bytes: int = 0, width: int | None = None
) -> Batch:
    """Return a request to decode a map of groups (rows, count), in codes of any width."""
    rows, count = present.shape
    wanted = nested.walk(present, group).positions.tobytes()
    stored = deltas.encode(present) if width is None else coded_with(present, width)
    return Request("deltas", stored, len(wanted), rows, count, group, misalign_bytes), wanted


def check(batch: Sequence[Batch], folder: Path, machine: Machine = "host") -> None:
    """Decode all blocks and compare."""
    answers = run([request for request, _ in batch], folder, machine).once()
    for index, ((request, wanted), answer) in enumerate(zip(batch, answers, strict=True)):
        assert answer.accepted, f"{index}: {request.codec} refused, {len(request.stored)} bytes"
        assert answer.out == wanted, f"{index}: {request.codec} of {len(wanted)} bytes"


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Return bytes with repeats at the lengths and distances where LZ4 changes its form."""
    out = bytearray()
    edges = [0, 1, 3, 4, 5, 14, 15, 16, 18, 19, 20, 254, 255, 256, 269, 270, 271, 273, 274, 529]
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["random", "repeat", "few"]))
        length = draw(st.sampled_from(edges) | st.integers(0, 700))
        if kind == "repeat" and out:
            distance = draw(st.sampled_from([1, 2, 3, 4, 5, 8]) | st.integers(1, len(out)))
            for _ in range(length):
                out.append(out[-min(distance, len(out))])
        else:
            rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
            high = 256 if kind == "random" else 3
            out += rng.integers(0, high, length, dtype=np.uint8).tobytes()
    return bytes(out)


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Return a map of groups and a group size: any density, single groups or clusters."""
    rows = draw(st.sampled_from([1, 2, 3, 5, 13]))
    count = draw(st.sampled_from([1, 2, 3, 7, 31, 36, 127, 128, 129, 257, 389]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.004, 0.03, 0.1, 0.3, 0.5, 0.8, 0.97, 1.0]))
    cluster = draw(st.sampled_from([1, 1, 4, 13]))
    bits = np.repeat(rng.random(rows * count) < density, cluster)[: rows * count]
    return bits.reshape(rows, count), draw(st.sampled_from([1, 2, 4]))


def lz4_forms(data: bytes) -> list[Batch]:
    """Return ``data`` as the standard encoder stores it in every mode."""
    forms = [lz4.encode(data), block.compress(data, store_size=False)]
    forms += [
        block.compress(data, mode="fast", acceleration=speed, store_size=False)
        for speed in (1, 7, 65537)
    ]
    forms += [
        block.compress(data, mode="high_compression", compression=level, store_size=False)
        for level in (1, 4, 9, 12)
    ]
    return [
        lz4_block(data, bytes(stored), misalign_bytes=index % 4)
        for index, stored in enumerate(forms)
    ]


@COMPILED
@given(data=st.lists(texts(), min_size=25, max_size=25))
def test_lz4_decodes_what_the_standard_encoder_stores(
    data: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    batch = [form for text in data for form in lz4_forms(text)]
    assert all(lz4_bytes(request.stored, len(text)) == text for request, text in batch)
    check(batch, tmp_path_factory.mktemp("lz4"))


@COMPILED
@given(data=st.lists(maps(), min_size=60, max_size=60))
def test_deltas_decodes_what_the_encoder_stores(
    data: list[tuple[np.ndarray, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    batch = [
        deltas_block(bits, group, index % 4, width)
        for index, (bits, group) in enumerate(data)
        for width in (None, 1 + index % 7)
    ]
    assert all(
        positions_fit(wanted, request.rows, request.count, request.group)
        for request, wanted in batch
    )
    check(batch, tmp_path_factory.mktemp("deltas"))


def real_blocks() -> list[Batch]:
    """Return blocks with every length class, offsets 1, 2 and 3, and maps of many shapes."""
    rng = np.random.default_rng(5)
    batch: list[Batch] = []
    for period, length in itertools.product((1, 2, 3, 4, 5, 7), (3, 8, 18, 19, 20, 273, 274, 600)):
        pattern = rng.integers(0, 256, period, dtype=np.uint8).tobytes()
        head = rng.integers(0, 256, 17, dtype=np.uint8).tobytes()
        data = head + (pattern * length)[:length] + head[:7]
        batch.append(lz4_block(data, misalign_bytes=length % 4))
    for length in (0, 1, 4, 5, 12, 13, 14, 15, 16, 254, 255, 269, 270, 271, 525):
        batch.append(lz4_block(rng.integers(0, 256, length, dtype=np.uint8).tobytes()))
    for group, density, count in itertools.product((1, 2, 4), (0, 0.02, 0.2, 0.6, 1), (5, 36, 300)):
        present = rng.random((11, count)) < density
        batch.append(deltas_block(present, group, count % 4))
    return batch


@pytest.mark.parametrize("machine", MACHINES)
def test_every_machine_decodes_the_same(machine: Machine, tmp_path: Path) -> None:
    check(real_blocks(), tmp_path, machine)


def mutants(request: Request) -> list[Request]:
    """Return every truncation, one byte more, and every byte with all 255 other values."""
    stored = request.stored
    changed = [stored[:length] for length in range(len(stored))]
    changed += [stored + bytes([value]) for value in (0, 1, 0x50, 0x80, 0xFF)]
    changed += [
        stored[:at] + bytes([value]) + stored[at + 1 :]
        for at in range(len(stored))
        for value in range(256)
        if value != stored[at]
    ]
    common = (request.out_bytes, request.rows, request.count, request.group)
    return [Request(request.codec, item, *common) for item in changed]


def small_lz4() -> Request:
    rng = np.random.default_rng(2)
    head = rng.integers(0, 256, 6, dtype=np.uint8).tobytes()
    data = head + b"\x01" * 23 + head + bytes([7, 9]) * 11 + head[:5] + head
    request, _ = lz4_block(data)
    assert len(request.stored) < 60
    return request


def test_every_small_change_of_an_lz4_block(tmp_path: Path) -> None:
    """Refused exactly if the block format says so; what is accepted, liblz4 decodes to the same."""
    requests = mutants(small_lz4())
    answers = run(requests, tmp_path).once()
    accepted = 0
    for request, answer in zip(requests, answers, strict=True):
        wanted = lz4_bytes(request.stored, request.out_bytes)
        assert answer.accepted == (wanted is not None), request.stored.hex()
        if wanted is not None:
            accepted += 1
            assert answer.out == wanted == lz4.decode(request.stored, request.out_bytes)
    assert len(requests) > 8000 and 0 < accepted < len(requests)


SMALL = [
    (group, width, count)
    for group in (1, 2, 4)
    for width, count in ((None, 37), (1, 37), (4, 37), (7, 37), (None, 601), (5, 601))
]
"""Group size, width and positions of a row: short rows, and such with gaps that need dummies."""


def small_deltas(group: int, width: int | None = None, count: int = 37) -> Request:
    rng = np.random.default_rng(group)
    present = rng.random((5, count)) < (0.3 if count < 100 else 0.008)
    present[2] = False
    request, _ = deltas_block(present, group, width=width)
    return request


def independent(request: Request) -> bytes | None:
    """Return what Python makes of a block of deltas, None if it refuses."""
    try:
        positions = deltas.decode(request.stored, request.rows, request.count, request.group)
    except UserError:
        return None
    return positions.tobytes() if len(positions) == request.out_bytes else None


@pytest.mark.parametrize(("group", "width", "count"), SMALL)
def test_every_small_change_of_deltas(
    group: int, width: int | None, count: int, tmp_path: Path
) -> None:
    """Refused exactly where Python refuses, and otherwise the same positions."""
    requests = mutants(small_deltas(group, width, count))
    answers = run(requests, tmp_path).once()
    for request, answer in zip(requests, answers, strict=True):
        wanted = independent(request)
        assert answer.accepted == (wanted is not None), request.stored.hex()
        if wanted is not None:
            assert answer.out == wanted
            assert positions_fit(wanted, request.rows, request.count, group)
    accepted = sum(answer.accepted for answer in answers)
    assert len(requests) > 3000 and 0 < accepted < len(requests)


def larger_blocks(step: int) -> list[Request]:
    """Return blocks of some hundred bytes, to be damaged with every ``step``-th value."""
    rng = np.random.default_rng(8)
    masks = [rng.random((23, 144)) < density for density in (0.1, 0.5)]
    masks.append(np.repeat(rng.random((23, 36)) < 0.4, 4, axis=1))
    requests = [deltas_block(mask, group)[0] for mask, group in zip(masks, (4, 2, 1), strict=True)]
    requests += [lz4_block(nested.walk(mask, 4).positions.tobytes())[0] for mask in masks]
    rows = rng.integers(-127, 128, (13, 6, 8), dtype=np.int8)
    rows[rng.random((13, 6)) < 0.7] = 0
    requests.append(lz4_block(rows.tobytes())[0])
    return [
        Request(r.codec, r.stored, r.out_bytes, r.rows, r.count, r.group, 0, step) for r in requests
    ]


def test_sampled_changes_of_larger_blocks_are_the_same_everywhere(tmp_path: Path) -> None:
    requests = larger_blocks(step=53)
    found = {machine: run(requests, tmp_path, machine).damages() for machine in MACHINES}
    assert found["host"] == found["mps2-an386"] == found["mps2-an500"]
    for request, damage in zip(requests, found["host"], strict=True):
        assert damage.tried > 4 * len(request.stored)
        assert damage.accepted < damage.tried


@pytest.mark.parametrize("machine", MACHINES)
def test_every_width_and_long_gaps(machine: Machine, tmp_path: Path) -> None:
    """Gaps of up to 1400 places in a row of 700 and over rows, in codes of every width."""
    present = np.zeros((5, 700), np.bool_)
    present[0, 650:] = present[2, 3] = present[2, [127, 131, 258, 259, 386, 513, 641]] = True
    present[4, [0, 254, 255, 510, 699]] = True
    batch = [
        deltas_block(present, group, width % 4, width)
        for group in (1, 2, 4)
        for width in deltas.WIDTHS
    ]
    check(batch, tmp_path, machine)


def test_a_gap_of_a_million_places(tmp_path: Path) -> None:
    present = np.zeros((1, 1_000_003), np.bool_)
    present[0, -1] = True
    check([deltas_block(present, group) for group in (1, 2, 4)], tmp_path)


def test_deltas_may_not_go_on(tmp_path: Path) -> None:
    """A stream that is complete but for something after it, and sizes that do not match."""
    request = small_deltas(4)
    stored, size = request.stored, request.out_bytes
    assert independent(request) is not None

    def like(stored: bytes, out_bytes: int, rows: int, count: int) -> Request:
        return Request("deltas", stored, out_bytes, rows, count, 4)

    empty = deltas.encode(np.zeros((5, 37), np.bool_))
    accepted = [request, like(empty, 5, 5, 37), like(empty, 1, 1, 1), like(empty, 5, 5, 2**28)]
    refused = [
        like(stored + b"\0", size, 5, 37),
        like(stored, size - 1, 5, 37),
        like(stored, size + 1, 5, 37),
        like(stored, size, 5, 30),
        like(stored, size, 4, 37),
        like(stored, size, 6, 37),
        like(b"", size, 5, 37),
        like(b"\x00", 5, 5, 37),
        like(b"\x08", 5, 5, 37),
        like(b"\xff" + bytes(300), size, 5, 37),
        like(b"\x01" + b"\xff" * 300, size, 5, 37),
        like(b"\x07" + b"\xff" * 300, size, 5, 37),
        like(empty, 0, 5, 37),
        like(empty, 0, 1, 1),
        like(empty, 4, 5, 37),
        like(empty, 6, 5, 37),
        like(empty + b"\0", 5, 5, 37),
        like(stored, 0, 5, 37),
    ]
    refused += [like(bytes([width]) + bytes(60_000), 5, 5, 37) for width in deltas.WIDTHS]
    answers = run(accepted + refused, tmp_path).once()
    said = [answer.accepted for answer in answers]
    assert said == [True] * len(accepted) + [False] * len(refused)


@pytest.mark.parametrize("group", [1, 2, 4])
def test_positions_are_fit_for_kernels_or_refused(group: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(group)
    wanted = nested.walk(rng.random((5, 37)) < 0.4, group).positions.tobytes()
    base = Request("check", wanted, 0, 5, 37, group)
    requests = [base, *mutants(base)]
    requests = [item for item in requests if item.stored]
    requests += [Request("check", wanted, 0, rows, 37, group) for rows in (1, 4, 6)]
    requests += [Request("check", wanted, 0, 5, count, group) for count in (1, 20, 36, 38)]
    requests += [Request("check", bytes([0x80]) * 700, 0, 699, 1, group)]
    answers = run(requests, tmp_path).once()
    said = [answer.accepted for answer in answers]
    meant = [positions_fit(r.stored, r.rows, r.count, r.group) for r in requests]
    assert said == meant
    assert said[0] and 0 < sum(said) < len(said)


@pytest.mark.parametrize(
    ("compiler", "level"), [("gcc", "-O0"), ("gcc", "-Os"), ("gcc", "-O3"), ("clang", "-O2")]
)
def test_every_optimization_decodes_the_same(compiler: str, level: str, tmp_path: Path) -> None:
    batch = real_blocks()
    requests = [request for request, _ in batch]
    answers = run(requests, tmp_path, flags=(level,), compiler=need(compiler)).once()
    assert answers == [Answer(True, wanted) for _, wanted in batch]


def test_deltas_cost_what_the_model_says(tmp_path: Path) -> None:
    """Executed instructions of layers of every size, against those that choose a layer's codec."""
    need("arm-none-eabi-gcc")
    rng = np.random.default_rng(6)
    shapes = ((16, 36, 0.1), (32, 72, 0.2), (64, 144, 0.1), (64, 144, 0.3), (64, 8, 0.3))
    maps = [rng.random((rows, count)) < density for rows, count, density in shapes]
    requests = [deltas_block(present, 4)[0] for present in maps]
    ran = run(requests, tmp_path, "mps2-an386", flags=("-Os",), measure=True)
    assert ran.recorded is not None
    program = elf.image(ran.elf)
    for slot, (request, present) in enumerate(zip(requests, maps, strict=True)):
        blocks = estimate.executed(ran.recorded, program, slot)
        counted = estimate.estimate(blocks, "cortex-m4").total.instructions
        positions = nested.walk(present, request.group).positions
        modelled = deltas.CODEC.instructions(Stream("positions", positions, 1, 0, present))
        print(f"{present.shape}: counted {counted}, modelled {modelled:.0f}")
        assert modelled == pytest.approx(counted, rel=0.1)


SIZES = {"nn_lz4": 268, "nn_deltas": 362, "nn_decode": 246}
"""Bytes of code at -Os on Armv7E-M, as generated projects compile them."""


@pytest.mark.parametrize("name", sorted(SIZES))
def test_decoders_are_small(name: str, tmp_path: Path) -> None:
    command = [need("arm-none-eabi-gcc"), *M4_FLAGS, "-std=c11", "-Os", "-ffunction-sections"]
    run_checked([*command, "-c", "-o", "x.o", str(FIRMWARE / f"codecs/{name}.c")], tmp_path)
    text = subprocess.run(
        ["arm-none-eabi-size", "x.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    code_bytes, data_bytes, bss_bytes = (int(word) for word in text.splitlines()[1].split()[:3])
    assert code_bytes <= min(SIZES[name] * 1.03, 600), f"{name}: {code_bytes} bytes"
    assert data_bytes == bss_bytes == 0


@pytest.mark.parametrize(("codec", "other"), [("lz4", "deltas"), ("deltas", "lz4")])
def test_a_codec_nobody_uses_is_not_linked(codec: str, other: str, tmp_path: Path) -> None:
    call = {
        "lz4": "nn_decode_lz4_positions(streams, 0, 0, &groups, area)",
        "deltas": "nn_decode_deltas_positions(streams, 0, 0, &groups, area)",
    }[codec]
    (tmp_path / "main.c").write_text(
        '#include "codecs/nn_decode.h"\n'
        "extern const nn_coded streams[1];\n"
        "const nn_coded streams[1] = {{0, 0, 0, 0}};\n"
        "extern const nn_patch_groups groups;\n"
        "const nn_patch_groups groups = {1, 1, 1};\n"
        "static uint8_t area[4];\n"
        f"int main(void) {{ return {call}; }}\n"
    )
    command = [need("arm-none-eabi-gcc"), *M4_FLAGS, "-std=c11", "-Os", "-ffunction-sections"]
    command += ["-Wl,--gc-sections", "-nostdlib", "-Wl,--entry=main", f"-I{FIRMWARE}", "main.c"]
    sources = [str(FIRMWARE / f"codecs/nn_{name}.c") for name in ("decode", "lz4", "deltas")]
    run_checked([*command, *sources, "-lgcc", "-o", "x.elf"], tmp_path)
    names = subprocess.run(
        ["arm-none-eabi-nm", "x.elf"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert f"nn_{codec}_decode" in names and f"nn_{other}_decode" not in names
