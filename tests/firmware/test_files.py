"""Each file of the library compiles alone, and one header chooses the kernels."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.firmware.rig import (
    FIRMWARE,
    LIBRARY,
    M4_FLAGS,
    M7_FLAGS,
    WARNINGS,
    need,
    run_checked,
)

ARM_GCC = "arm-none-eabi-gcc"
ARM_CLANG = "clang --target=arm-none-eabi"
M0_FLAGS = ("-mcpu=cortex-m0", "-mthumb")
MACHINES: dict[str, tuple[str, ...]] = {
    "host gcc": ("gcc",),
    "host clang": ("clang",),
    "m0 gcc": (ARM_GCC, *M0_FLAGS),
    "m4 gcc": (ARM_GCC, *M4_FLAGS),
    "m7 gcc": (ARM_GCC, *M7_FLAGS, "-DNN_BOARD_KERNELS=m7"),
    "m0 clang": (*ARM_CLANG.split(), *M0_FLAGS),
    "m4 clang": (*ARM_CLANG.split(), *M4_FLAGS),
}
"""A compiler and a core: what the command begins with."""


def command_of(machine: str) -> list[str]:
    """Return how ``machine`` compiles; skip where its compiler is missing."""
    compiler, *flags = MACHINES[machine]
    return [need(compiler), *flags]


def flags_for(path: Path, machine: str) -> tuple[str, ...] | None:
    """Return what chooses the set that ``path`` belongs to; None where its instructions lack."""
    has_dsp = machine.startswith(("m4", "m7"))
    if path.stem.endswith("_portable"):
        return ("-DNN_KERNELS=portable",)
    if path.stem.endswith("_asm"):
        return () if has_dsp and machine.endswith("gcc") else None
    if path.stem == "nn_simd_dsp":
        return () if has_dsp else None
    if path.stem.endswith("_dsp") and not has_dsp:
        return ("-DNN_KERNELS=dsp", "-DNN_SIMD_IN_C=1")
    return ()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_file_compiles_alone(machine: str, tmp_path: Path) -> None:
    """Without an include path, in any folder, as an IDE does that lists the files."""
    command = [*command_of(machine), "-std=c99", "-pedantic", *WARNINGS, "-Wundef", "-O1"]
    files: dict[tuple[str, ...], list[str]] = {}
    for path in LIBRARY:
        flags = flags_for(path, machine)
        if flags is not None:
            (tmp_path / f"{path.name}.c").write_text(f'#include "{path}"\nint used;\n')
            files.setdefault(flags, []).append(f"{path.name}.c")
    assert sum(map(len, files.values())) > 40
    for flags, names in files.items():
        run_checked([*command, *flags, "-fsyntax-only", *names], tmp_path)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.name)
def test_every_header_is_guarded_by_its_name(path: Path) -> None:
    if path.suffix == ".h":
        guard = path.name.upper().replace(".", "_")
        text = path.read_text(encoding="utf-8")
        head = re.sub(r"/\*.*?\*/", "", text, flags=re.S).split()
        assert head[:4] == ["#ifndef", guard, "#define", guard] and head[-1] == "#endif"
    names = [other for other in LIBRARY if other.name == path.name]
    assert names == [path], "IDEs that show no folders need names of their own"


def macros(machine: str, *flags: str) -> dict[str, str]:
    """Return what nn_kernels.h defines.

    Raises:
        ValueError: it refuses the flags; the message is the compiler's.
    """
    command = [*command_of(machine), *flags, "-Wundef", "-dM", "-E", str(FIRMWARE / "nn_kernels.h")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return dict(re.findall(r"^#define (NN_\w+) (.*)$", done.stdout, flags=re.M))


@pytest.mark.parametrize(("machine", "flags", "chosen", "is_scheduled"), [
    ("host gcc", (), "portable", False),
    ("m0 gcc", (), "portable", False),
    ("m4 gcc", (), "dsp", True),
    ("m7 gcc", (), "m7", True),
    ("m4 clang", (), "dsp", False),
    ("m4 clang", ("-DNN_BOARD_KERNELS=m7",), "m7", False),
    ("m0 gcc", ("-DNN_BOARD_KERNELS=m7",), "portable", False),
    ("host gcc", ("-DNN_BOARD_KERNELS=m7",), "portable", False),
    ("m7 gcc", ("-DNN_KERNELS=dsp",), "dsp", True),
    ("m4 gcc", ("-DNN_KERNELS=m7",), "m7", True),
    ("m7 gcc", ("-DNN_KERNELS=portable",), "portable", False),
    ("m4 gcc", ("-DNN_SCHEDULED=0",), "dsp", False),
    ("host gcc", ("-DNN_KERNELS=dsp", "-DNN_SIMD_IN_C=1"), "dsp", False),
    ("m4 gcc", ("-DNN_KERNELS=dsp", "-DNN_SIMD_IN_C=1"), "dsp", False),
])  # fmt: skip
def test_one_header_chooses(
    machine: str, flags: tuple[str, ...], chosen: str, is_scheduled: bool
) -> None:
    found = macros(machine, *flags)
    name = {"00": "portable", "10": "dsp", "11": "m7"}
    assert name[found["NN_KERNELS_USE_DSP"] + found["NN_KERNELS_USE_M7"]] == chosen
    assert found["NN_SCHEDULED"] == str(int(is_scheduled))


@pytest.mark.parametrize(("machine", "flags", "message"), [
    ("host gcc", ("-DNN_KERNELS=dsp",), "of a core without the DSP extension"),
    ("m0 gcc", ("-DNN_KERNELS=m7",), "of a core without the DSP extension"),
    ("m4 gcc", ("-DNN_KERNELS=fast",), "must be portable, dsp or m7"),
    ("m4 gcc", ("-DNN_KERNELS=",), "must be portable, dsp or m7"),
    ("m4 gcc", ("-DNN_KERNELS",), "must be portable, dsp or m7"),
    ("m4 gcc", ("-DNN_BOARD_KERNELS=m8",), "must be portable, dsp or m7"),
    ("m0 gcc", ("-DNN_SCHEDULED=1",), "NN_SCHEDULED=1 needs the dsp or m7 kernels"),
    ("m4 gcc", ("-DNN_SCHEDULED=1", "-DNN_SIMD_IN_C=1"), "NN_SCHEDULED=1 needs the dsp or m7"),
    ("m4 gcc", ("-DNN_SCHEDULED=2",), "NN_SCHEDULED must be 0 or 1"),
    ("m4 gcc", ("-DNN_SIMD_IN_C=2",), "NN_SIMD_IN_C must be 0 or 1"),
    ("m4 gcc", ("-DNN_HAS_FPU=2",), "NN_HAS_FPU must be 0 or 1"),
])  # fmt: skip
def test_an_impossible_choice_does_not_compile(
    machine: str, flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        macros(machine, *flags)


def test_only_that_header_asks_for_the_core_and_the_compiler() -> None:
    """nn_optimize.h aside, for what it says is of a compiler."""
    asks = re.compile(r"^\s*#\s*(el)?if.*(__ARM|__arm|__thumb|__clang|__GNUC)", re.M)
    askers = {path.name for path in LIBRARY if asks.search(path.read_text(encoding="utf-8"))}
    assert askers == {"nn_kernels.h", "nn_optimize.h"}


def test_a_set_is_a_file() -> None:
    """What differs between sets of kernels is included, not written in between."""
    for path in LIBRARY:
        lines = path.read_text(encoding="utf-8").splitlines()
        for line, following in itertools.pairwise(lines):
            if line.startswith("#if") and "NN_KERNELS_USE" in line and path.name != "nn_kernels.h":
                assert following.startswith("#include "), f"{path.name}: {line}"


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_sets_differ_where_they_should(name: str, tmp_path: Path) -> None:
    """The same call compiles to other instructions by each set, so that the choice is real."""
    if shutil.which("arm-none-eabi-objdump") is None:
        pytest.skip("arm-none-eabi-objdump is not installed")
    (tmp_path / "x.c").write_text(
        f'#include "{FIRMWARE}/kernels/dense_linear/nn_dense_linear.h"\n'
        "void f(const nn_requant_level *l, const int8_t *w, const int8_t *in, int8_t *out,"
        " int16_t *scratch);\n"
        "void f(const nn_requant_level *l, const int8_t *w, const int8_t *in, int8_t *out,"
        " int16_t *scratch)\n{\n"
        "    static const nn_window_shape s = {1, 1, 64, 1, 1, 8, 1, 1, 1, 1, 0, 0};\n"
        "    static const nn_requant r = {0, 0, 0, 4, 0, -128, 127, 0};\n"
        "    nn_dense_linear(&s, &r, l, w, in, out, scratch);\n}\n"
    )
    smlads = {}
    for kernels in ("portable", "dsp"):
        command = [*command_of(f"m4 {name}"), "-O3", f"-DNN_KERNELS={kernels}", "-c", "x.c"]
        run_checked(command, tmp_path)
        text = subprocess.run(
            ["arm-none-eabi-objdump", "-d", "x.o"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        smlads[kernels] = text.count("smlad")
    assert smlads["portable"] == 0 < smlads["dsp"]
