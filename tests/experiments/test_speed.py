"""The speed experiment: what it measures is a valid network, and what it wrote is whole."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codegen.graph.verify import verify
from codegen.lower import lowering
from codegen.target.target import resolve
from experiments.common import driver
from experiments.speed import run as speed


def test_the_kernel_network_uses_every_kernel_once_or_more() -> None:
    graph = verify(speed.kernel_graph())
    packed = lowering.lower(graph, resolve("host"))
    assert {layer.name for layer in packed.layers} == {op.name for op in graph.ops}
    kernels = {layer.kernel for layer in packed.layers}
    assert kernels >= {
        "nested_conv", "dense_conv", "depthwise_conv", "nested_linear", "dense_linear", "max_pool",
    }  # fmt: skip
    assert {layer.args.group for layer in packed.layers if layer.kernel == "nested_conv"} == {
        1,
        2,
        4,
    }


def test_bars_are_met_from_the_right_side() -> None:
    assert speed.Row("cycles", "M4", 9.0, 10.0, False, "").met
    assert not speed.Row("cycles", "M4", 11.0, 10.0, False, "").met
    assert speed.Row("ratio", "M4", 11.0, 10.0, True, "").met
    assert not speed.Row("ratio", "M4", 9.0, 10.0, True, "").met


def test_what_was_written_has_every_bar() -> None:
    found: dict[str, Any] = driver.read(driver.HERE / "speed")["findings"]
    rows = [speed.Row(**{k: v for k, v in row.items() if k != "met"}) for row in found["bars"]]
    assert [row["met"] for row in found["bars"]] == [row.met for row in rows]
    wanted = {(f"{bar.title}, cycles", core) for bar in speed.BARS for core in bar.limits}
    assert wanted <= {(row.what, row.core) for row in rows}
    assert found["layers"].keys() == speed.NETWORKS.keys()
    assert all("not measured" in estimator for estimator in found["estimators"].values())


@pytest.mark.parametrize(
    ("body", "bounded"),
    [
        ("return x < 3 ? x : 7;", True),
        ("while (*(volatile int *)x) { } return x;", False),
        ("return other(x) + 1;", False),
    ],
    ids=["straight", "loop", "call"],
)
def test_only_straight_code_has_a_bound(tmp_path: Path, body: str, bounded: bool) -> None:
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        pytest.skip("needs arm-none-eabi-gcc")
    (tmp_path / "f.c").write_text(f"int other(int x); int f(int x) {{ {body} }}\n")
    command = [compiler, "-c", "-O2", "-mcpu=cortex-m4", "-mthumb", "-w", "f.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    if bounded:
        assert 2 <= speed.instructions_of(tmp_path / "f.o", "f") <= 8
    else:
        with pytest.raises(ValueError, match="cannot bound"):
            speed.instructions_of(tmp_path / "f.o", "f")
