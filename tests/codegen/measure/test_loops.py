"""The loop lister on an object file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from codegen.errors import EXIT_CODE, UserError
from codegen.measure.pipelines import loops

SOURCE = """
.syntax unified
.thumb
.cpu cortex-m4
.text
.type work, %function
.global work
work:
    ldr r2, =0x12345678
    b 1f
.pool
1:  movs r3, #5
2:  smlad r0, r1, r2, r0
    cbz r0, 3f
    subs r3, #1
    bne 2b
    movs r5, #3
4:  movs r4, #5
5:  adds r0, r1
    subs r4, #1
    bne 5b
    subs r5, #1
    bne 4b
3:  bx lr
.size work, . - work
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    if shutil.which("arm-none-eabi-as") is None:
        pytest.skip("arm-none-eabi-as is not installed")
    source, out = tmp_path / "work.s", tmp_path / "work.o"
    source.write_text(SOURCE)
    subprocess.run(["arm-none-eabi-as", "-o", out, source], check=True)
    return out


def test_finds_innermost_loops_behind_a_literal_pool(program: Path) -> None:
    first, second = loops.find(program, "work")
    assert [i.text.split()[0] for i in first.instructions] == ["smlad", "cbz", "subs", "bne"]
    assert first.multiplies == 2
    assert first.cycles("cortex-m4") == sum(first.cycles_each("cortex-m4"))
    assert [i.text.split()[0] for i in second.instructions] == ["adds", "subs", "bne"]
    assert second.cycles_each("cortex-m4") == (1, 1, 3)
    assert second.cycles_each("cortex-m7") == (1, 0, 1)


def test_command(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert loops.main([str(program), "work"]) == 0
    assert "3 instructions, 0 MACs; estimated cycles a pass: M4 5, M7 2" in capsys.readouterr().out
    assert loops.main([str(program), "absent"]) == EXIT_CODE
    assert "absent" in capsys.readouterr().err
    assert loops.main([]) == EXIT_CODE


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        loops.find(tmp_path / "none.elf", "work")
