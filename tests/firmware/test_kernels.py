"""Kernels against a NumPy oracle, bit for bit: portable and DSP bodies, host and emulated core."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.firmware.cases import (
    Case,
    compare,
    paired,
    with_shared_memory,
    write,
)
from tests.support.firmware.families import FAMILIES, SEED
from tests.support.firmware.rig import (
    HARNESS,
    M4_FLAGS,
    SANITIZERS,
    STANDARD,
    kernel_flags,
    run_checked,
    run_host,
    run_m4,
)


@pytest.fixture(params=sorted(FAMILIES))
def cases(request: pytest.FixtureRequest) -> list[Case]:
    """Return one family of cases, the same in every test."""
    rng = np.random.default_rng(SEED)
    return [with_shared_memory(case, rng) for case in FAMILIES[request.param](rng)]


@pytest.mark.parametrize("kind", ["portable", "dsp-on-host"])
def test_host_matches_oracle(cases: list[Case], kind: str, tmp_path: Path) -> None:
    outputs = run_host(cases, tmp_path, kind, "gcc", ("-O1", "-fsanitize=address"))
    wrong = compare(cases, outputs)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", ["portable", "dsp-on-host"])
def test_host_without_undefined_behaviour(cases: list[Case], kind: str, tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    some = cases[::3]
    wrong = compare(
        some,
        run_host(some, tmp_path, kind, "clang", ("-O0", "-DNN_OPTIMIZE_KERNELS=0", *SANITIZERS)),
    )
    assert not wrong, "\n".join(wrong)


def test_m4_matches_oracle(cases: list[Case], tmp_path: Path) -> None:
    wrong = compare(cases, run_m4(cases, tmp_path, measure=False).outputs)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("dsp", ("-O0",)),
        ("dsp", ("-Og",)),
        ("dsp", ("-O3", "-fno-omit-frame-pointer", "-ffreestanding")),
        ("dsp", ("-O0", "-DNN_OPTIMIZE_KERNELS=0")),
        ("dsp", ("-O2", "-DNN_SCHEDULED=0")),
        ("portable", ("-O2",)),
    ],
)
def test_m4_with_other_flags(
    cases: list[Case], kind: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    some = cases[1::3]
    wrong = compare(some, run_m4(some, tmp_path, kind, flags, measure=False).outputs)
    assert not wrong, "\n".join(wrong)


def test_m7_matches_oracle(cases: list[Case], tmp_path: Path) -> None:
    result = run_m4(cases, tmp_path, "m7", measure=False, machine="mps2-an500")
    wrong = compare(cases, result.outputs)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("machine", "flags"),
    [
        ("mps2-an386", ("-O3",)),
        ("mps2-an386", ("-O0", "-DNN_OPTIMIZE_KERNELS=0")),
        ("mps2-an500", ("-Os",)),
    ],
)
def test_clang_matches_oracle(
    cases: list[Case], machine: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    some = cases[2::3]
    result = run_m4(some, tmp_path, "dsp", flags, measure=False, machine=machine, compiler="clang")
    wrong = compare(some, result.outputs)
    assert not wrong, "\n".join(wrong)


def test_freestanding_kernels_call_nothing(cases: list[Case], tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    write(cases, tmp_path)
    command = ["arm-none-eabi-gcc", *M4_FLAGS, *STANDARD, "-O3", "-ffreestanding"]
    command += [*kernel_flags("dsp", tmp_path), "-c", "-o", "harness.o", str(HARNESS / "harness.c")]
    run_checked(command, tmp_path)
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-u", "harness.o"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ours = ("U", "harness_", "nn_port_", "nn_mark_")
    assert [name for name in symbols if not name.startswith(ours)] == []


def test_compare_notices_one_wrong_output(tmp_path: Path) -> None:
    case = paired(np.random.default_rng(SEED), "add", (1, 1, 16), (1, 1, 16))
    good = case.runs[0].expected.astype(np.int8).reshape(-1)
    assert compare([case], good.tobytes()) == []
    bad = good.copy()
    bad[5] ^= 1
    (line,) = compare([case], bad.tobytes())
    assert f"first at (0, 0, 5): got {bad[5]}, expected {good[5]}" in line
