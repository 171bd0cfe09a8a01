"""What bench reports: sums, ranges, the JSON schema, and cycles that come back into model.h."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Setting, TaskRecord
from codegen.graph.synthetic import random_images
from codegen.measure.bench import OTHER, Bench
from codegen.measure.figures import per_cycle, plain, share
from codegen.target import manifest
from codegen.target.memory_system import Span
from nestnet.cli.bench_tables import as_csv
from tests.support.edge_nets import boxes_of_two_scales
from tests.support.projects import need_tools, small_graph


def saved(folder: Path, name: str = "tiny") -> Path:
    path = folder / name / "model.nestnet"
    path.parent.mkdir(parents=True)
    nestfile.save(small_graph(name), path)
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bench]:
    """Return a network and what it costs on the emulated Cortex-M7."""
    need_tools("qemu_m7")
    folder = tmp_path_factory.mktemp("bench")
    path = saved(folder)
    images = random_images(small_graph(), 3, seed=11)
    return path, flow.bench(path, "qemu_m7", images, out=folder / "project")


def test_layers_add_up_to_their_level(measured: tuple[Path, Bench]) -> None:
    _, bench = measured
    assert len(bench.levels) == 2
    for level in bench.levels:
        assert level.layers[-1].name == OTHER
        assert sum(layer.instructions or 0 for layer in level.layers) == level.instructions
        spans = [layer.cycles for layer in level.layers if layer.cycles is not None]
        assert len(spans) == len(level.layers)
        assert sum(span.low for span in spans) == level.cycles.low
        assert all(span.low > 0 for span in spans)
        assert all(0 <= layer.macs <= layer.dense_macs for layer in level.layers)
    sparse, dense = bench.levels
    assert sparse.macs < dense.macs and sparse.dense_macs == dense.dense_macs
    assert sparse.cycles.low < dense.cycles.low


def test_macs_without_pruning_are_counted_from_the_shapes(measured: tuple[Path, Bench]) -> None:
    """5x7 map: 3x3x3 stem to 4, 3x3x4 to 4, depthwise 3x3 of 4, then linear 4 to 3."""
    _, bench = measured
    with_macs = [layer.dense_macs for layer in bench.levels[0].layers if layer.dense_macs]
    assert with_macs == [35 * 27 * 4, 35 * 36 * 4, 35 * 9 * 4, 12]


def test_json_has_exactly_the_documented_keys(measured: tuple[Path, Bench]) -> None:
    _, bench = measured
    data: dict[str, Any] = json.loads(json.dumps(bench.as_json()))
    assert list(data) == [
        "board", "clock_hz", "estimator", "levels", "code_bytes", "weights_bytes", "arena_bytes",
        "stack_bytes", "elf",
    ]  # fmt: skip
    assert "not measured" in data["estimator"] and re.search(r"within \d+ %", data["estimator"])
    for level in data["levels"]:
        keys = ["level", "sparsity", "instructions", "cycles", "ms", "layers", "answer"]
        assert list(level) == keys
        assert list(level["answer"]) == ["instructions", "cycles", "ms"]
        assert level["ms"] == pytest.approx(1000 * level["cycles"] / data["clock_hz"], abs=1e-4)
        assert sum(layer["share"] for layer in level["layers"]) == pytest.approx(1, abs=1e-3)
    for key in ("code_bytes", "weights_bytes", "arena_bytes", "stack_bytes", "clock_hz"):
        assert type(data[key]) is int and data[key] > 0, key
    assert Path(data["elf"]).is_file()


def test_a_chip_nobody_validated_gets_ranges(tmp_path: Path) -> None:
    need_tools("qemu_m7")
    images = random_images(small_graph(), 1, seed=1)
    bench = flow.bench(saved(tmp_path), "stm32f7", images, out=tmp_path / "chip")
    assert "not validated" in bench.estimator
    level = bench.as_json()["levels"][0]
    for value in (level["cycles"], level["ms"], level["layers"][0]["macs_per_cycle"]):
        low, high = value
        assert 0 < low < high


def test_the_host_counts_nothing(tmp_path: Path) -> None:
    need_tools("host")
    images = random_images(small_graph(), 1, seed=1)
    bench = flow.bench(saved(tmp_path), "host", images, out=tmp_path / "host")
    data = bench.as_json()
    assert "analytic model" in data["estimator"] and "not measured" in data["estimator"]
    for level in data["levels"]:
        assert level["instructions"] is None and level["ms"] is None and level["answer"] is None
        assert sum(layer["cycles"] for layer in level["layers"]) == level["cycles"] > 0


def test_ranges_in_plain_data() -> None:
    assert plain(Span(3, 3)) == 3 and plain(Span(3, 5)) == [3, 5] and plain(None) is None
    assert per_cycle(10, Span(4, 5)) == [2.0, 2.5] and per_cycle(10, Span(0, 0)) is None
    assert share(Span(1, 3), Span(8, 8)) == 0.25 and share(Span(1, 1), Span(0, 0)) is None


def test_firmware_that_changed_is_copied_again(tmp_path: Path) -> None:
    path = saved(tmp_path)
    out = flow.prepare(path, "qemu_m4", tmp_path / "out")
    copied = out / "library/firmware/nestnet.c"
    original = copied.read_bytes()
    older = original + b"/* an older version */\n"
    copied.write_bytes(older)
    marker = (out / manifest.MARKER).read_text()
    before, after = (hashlib.sha256(text).hexdigest() for text in (original, older))
    (out / manifest.MARKER).write_text(marker.replace(before, after))
    flow.prepare(path, "qemu_m4", out)
    assert copied.read_bytes() == original


# Cycles of a report in the generated code.


def report(cycles: list[Any], board: str = "qemu_m4", **more: Any) -> dict[str, Any]:
    sparsity = [level.sparsity for level in small_graph().levels]
    levels = [
        {"sparsity": share, "cycles": value} for share, value in zip(sparsity, cycles, strict=True)
    ]
    return {"board": board, "levels": levels, **more}


def generate(folder: Path, content: object, board: str = "qemu_m4") -> Path:
    file = folder / "report.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return flow.codegen(saved(folder), board, folder / "out", cycles=file)


def test_estimates_replace_the_analytic_cycles(
    measured: tuple[Path, Bench], tmp_path: Path
) -> None:
    path, bench = measured
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(bench.as_json()))
    first, second = (
        flow.codegen(path, "qemu_m7", tmp_path / name, cycles=file) for name in ("a", "b")
    )
    model = (first / "library/model.c").read_text()
    found = [int(value) for value in re.findall(r"\.cycles = (\d+)u", model)]
    assert found == [level.cycles.low for level in bench.levels]
    header = " ".join((first / "library/model.h").read_text().split()).replace(" * ", " ")
    assert bench.estimator in header
    assert (first / "library/model.h").read_bytes() == (second / "library/model.h").read_bytes()
    assert manifest.read_info(first).cycles_source == bench.estimator
    plain_model = flow.codegen(path, "qemu_m7", tmp_path / "c", cycles=flow.ANALYTIC)
    assert "analytic" in manifest.read_info(plain_model).cycles_source


def test_of_a_range_the_upper_end_counts(tmp_path: Path) -> None:
    out = generate(tmp_path, report([[100, 170], [200, 333]], estimator="some model"))
    assert re.findall(r"\.cycles = (\d+)u", (out / "library/model.c").read_text()) == ["170", "333"]
    assert manifest.read_info(out).cycles_source == "some model; upper end"


def test_a_board_measures(tmp_path: Path) -> None:
    out = generate(tmp_path, report([100, 200]))
    assert "measured by the board" in (out / "library/model.h").read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a report"),
        ("[]", "not a report"),
        ({"board": "qemu_m4"}, "not a report"),
        ({"board": "qemu_m4", "levels": [3]}, "not a report"),
        (report([1, 2], board="stm32f4"), "another board; got stm32f4, expected qemu_m4"),
        (report([1, 2], graph_sha256="0"), "another network"),
        ({"board": "qemu_m4", "levels": report([1, 2])["levels"][:1]}, "other levels"),
        (report([1, None]), "no usable cycles; got None"),
        (report([0, 1]), "no usable cycles; got 0"),
        (report([1, 2**32]), "no usable cycles; got 4294967296"),
        (report([1, []]), "no usable cycles"),
        (report([True, 1]), "no usable cycles; got True"),
    ],
)
def test_reports_of_something_else_are_refused(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        generate(tmp_path, content)
    assert not (tmp_path / "out").exists()


def test_more_boxes_take_longer_beside_the_same_inference(tmp_path: Path) -> None:
    need_tools("qemu_m4")
    few = boxes_of_two_scales()
    lower = TaskRecord("detection", (Setting("min_score", (-3000,)),))
    images = random_images(few, 2, seed=5)
    found = []
    for name, graph in (("few", few), ("more", replace(few, task=lower))):
        nestfile.save(graph, tmp_path / f"{name}.nestnet")
        bench = flow.bench(tmp_path / f"{name}.nestnet", "qemu_m4", images, out=tmp_path / name)
        found.append(bench.levels[-1])
        rows = as_csv(bench).splitlines()
        assert [row.split(",")[4] for row in rows].count("answer") == len(bench.levels)
    costs = [level.answer for level in found]
    assert costs[0] is not None and costs[1] is not None
    assert found[0].instructions == found[1].instructions
    assert 500 < 2 * costs[0].instructions < costs[1].instructions
    spans = [cost.cycles for cost in costs if cost is not None and cost.cycles is not None]
    assert spans[0].low >= costs[0].instructions and spans[1].low > spans[0].low
