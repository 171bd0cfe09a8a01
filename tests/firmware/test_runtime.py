"""The runtime as a library: every status, what it links against, what compilers say, options."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

from tests.support.firmware.rig import (
    FIRMWARE,
    LIBRARY,
    M4_FLAGS,
    SANITIZERS,
    WARNINGS,
    need,
    run_checked,
)

RUNTIME = tuple(path for path in LIBRARY if path.suffix == ".c")
INCLUDE = f"-I{FIRMWARE}"
HERE = Path(__file__).parent
COMPILERS = ("gcc", "clang", "arm-none-eabi-gcc")


@pytest.mark.parametrize("checks_weights", [0, 1])
def test_every_status_of_the_api(checks_weights: int, tmp_path: Path) -> None:
    options = [f"-DNN_CHECK_WEIGHTS={checks_weights}", f"-DCHECKS_WEIGHTS={checks_weights}"]
    command = ["gcc", "-std=c11", "-O1", *WARNINGS, *SANITIZERS, *options, INCLUDE]
    sources = [str(HERE / "api_test.c"), *map(str, RUNTIME)]
    run_checked([*command, "-o", "api_test", *sources, "-lm"], tmp_path)
    run_checked(["./api_test"], tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O1", "-O3"])
def test_no_number_becomes_the_zero_point_with_fast_math(
    compiler: str, level: str, tmp_path: Path
) -> None:
    """The value comes from the command line: the compiler cannot know it."""
    (tmp_path / "main.c").write_text(
        '#include <stdlib.h>\n#include "nestnet.h"\n'
        "int main(int count, char **words)\n{\n"
        "    const nn_tensor_info tensor = {.zero_point = -3, .scale = 0.5f};\n"
        "    return count == 3 && nn_quantize(&tensor, strtof(words[1], NULL)) == atoi(words[2])"
        " ? 0 : 1;\n}\n",
        encoding="ascii",
    )
    command = [need(compiler), "-std=c99", level, "-ffast-math", INCLUDE, "main.c"]
    run_checked([*command, *map(str, RUNTIME), "-o", "x"], tmp_path)
    for word, quantized in (("nan", -3), ("-nan", -3), ("inf", 127), ("-inf", -128), ("2", 1)):
        run_checked(["./x", word, str(quantized)], tmp_path)


def test_api_test_would_notice_a_failure(tmp_path: Path) -> None:
    text = (FIRMWARE / "nestnet.c").read_text(encoding="ascii")
    check = "if (level >= net->model->level_count) {\n        return NN_ERR_LEVEL"
    broken = text.replace(check, check.replace("level >=", "level >"), 1)
    assert broken != text
    (tmp_path / "nestnet.c").write_text(broken, encoding="ascii")
    others = [str(path) for path in RUNTIME if path.name != "nestnet.c"]
    sources = [str(HERE / "api_test.c"), "nestnet.c", *others]
    command = ["gcc", "-std=c11", "-DCHECKS_WEIGHTS=1", INCLUDE, "-o", "api_test"]
    run_checked([*command, *sources, "-lm"], tmp_path)
    result = subprocess.run(["./api_test"], cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode != 0


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("standard", ["-std=c99", "-std=c11"])
def test_runtime_compiles_without_warnings(compiler: str, standard: str, tmp_path: Path) -> None:
    flags = list(M4_FLAGS) if compiler.startswith("arm") else []
    for source in RUNTIME:
        command = [need(compiler), *flags, standard, "-O2", "-pedantic", *WARNINGS]
        run_checked([*command, "-c", "-o", "x.o", str(source)], tmp_path)


def test_header_is_cplusplus(tmp_path: Path) -> None:
    (tmp_path / "x.cpp").write_text(
        '#include "nestnet.h"\nint main() { return nn_strerror(NN_OK) == nullptr; }\n',
        encoding="ascii",
    )
    command = [need("g++"), "-std=c++11", "-Wall", "-Wextra", "-Werror", INCLUDE]
    run_checked([*command, "-c", "-o", "x.o", "x.cpp"], tmp_path)


def test_freestanding_runtime_needs_and_shows_nothing_else(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    command = ["arm-none-eabi-gcc", *M4_FLAGS, "-std=c99", "-O2", "-ffreestanding", "-nostdlib"]
    sources = [str(source) for source in RUNTIME]
    run_checked([*command, "-r", "-o", "runtime.o", *sources], tmp_path)
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-g", "runtime.o"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    rows = [line.split()[-2:] for line in symbols if line]
    assert [name for kind, name in rows if kind == "U"] == []
    assert all(name.startswith("nn_") for _, name in rows)
    assert all(kind == "T" for kind, _ in rows), "no data: no globals"


@pytest.mark.parametrize("option", ["NN_CHECK_WEIGHTS=2", "NN_MAX_LEVELS=0", "NN_MAX_LEVELS=17"])
def test_illegal_option_is_a_compile_error(option: str, tmp_path: Path) -> None:
    command = ["gcc", "-std=c99", f"-D{option}", "-fsyntax-only"]
    result = subprocess.run(
        [*command, str(FIRMWARE / "nestnet.c")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert f"nn_config.h: {option.split('=')[0]} must be" in result.stderr


def test_crc_table_is_what_its_comment_says() -> None:
    text = (FIRMWARE / "core/nn_crc32.c").read_text(encoding="ascii")
    body = text.split("nibble_crc[16] = {")[1].split("}")[0]
    table = [int(word.strip(" \nu"), 16) for word in body.split(",") if word.strip()]
    for value in range(16):
        crc = value
        for _ in range(4):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
        assert table[value] == crc
    assert zlib.crc32(b"123456789") == 0xCBF43926
