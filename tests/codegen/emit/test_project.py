"""--optimize, --codecs and --decode reach the project, which remembers them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from codegen import flow
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.synthetic import conv_layer_graph
from codegen.lower import lowering
from codegen.target import boards, manifest
from codegen.target.target import resolve

DENSITIES = (0.1, 0.3, 0.5)
SIZE = resolve("host", optimize="size")


def graph() -> Graph:
    return conv_layer_graph(7, 5, 29, 31, group=1, densities=DENSITIES, relu=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.nestnet"
    nestfile.save(graph(), path)
    return path


@pytest.mark.parametrize("meaning", ["class_scores", "plain"])
def test_the_readme_takes_only_scores_for_classes(meaning: str, tmp_path: Path) -> None:
    made = replace(graph(), values=tuple(
        replace(value, meaning=meaning) if value.name in graph().outputs else value
        for value in graph().values
    ))  # fmt: skip
    folder = project.write(made, "0" * 64, resolve("host"), tmp_path / "out")
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert ("nn_argmax(output" in text) == (meaning == "class_scores")
    assert ("use(output" in text) == (meaning == "plain")


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_with_a_residual_is_described(groups: int, tmp_path: Path) -> None:
    """Also one that cannot read a map joined of parts: a grouped one."""
    net = GraphBuilder((5, 7, 6), 1, 7, "residual")
    net.conv("input", 6, (1, 1))
    net.conv(net.last, 6, (3, 3), padding=(1, 1, 1, 1), groups=groups, residual=net.last)
    folder = project.write(net.graph(), "0" * 64, resolve("host"), tmp_path / "out")
    written = [path.read_text("utf-8") for path in folder.rglob("*.c")]
    assert any("kernel 3x3, stride 1x1, adds its second input" in text for text in written)


def test_the_project_says_how_its_weights_lie_in_flash(model: Path, tmp_path: Path) -> None:
    made = flow.codegen(model, "host", tmp_path / "out", optimize="size")
    info, packed = manifest.read_info(made), lowering.lower(graph(), SIZE)
    assert info.target == SIZE
    assert (info.weights_bytes, info.execution_bytes) == (
        len(packed.image_bytes),
        packed.execution_bytes,
    )
    assert info.weights_bytes < 0.9 * info.execution_bytes
    (layer,) = info.layers
    assert layer.storage is not None and layer.storage.name == "nested, positions deltas"
    assert layer.codecs == {"deltas"}
    assert layer.storage.entropy_bytes < layer.storage.stored_bytes < layer.storage.execution_bytes
    per_weight = layer.storage.bytes_per_kept_weight
    assert per_weight == layer.storage.stored_bytes / layer.storage.kept_weights
    header = (made / "library/model.h").read_text()
    assert f"together: {info.execution_bytes} bytes as kernels read them" in header
    assert f"{100 * info.weights_bytes / info.execution_bytes:.1f} % of that" in header
    assert str(info.execution_bytes) in (made / "README.md").read_text()
    plain = flow.codegen(model, "host", tmp_path / "raw", codecs="raw")
    assert not manifest.read_info(plain).layers[0].codecs
    assert "no stream is coded" in (plain / "library/model.h").read_text()
    assert manifest.read_info(plain).weights_bytes == -(-info.execution_bytes // 4) * 4


def test_other_options_make_another_project(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sha256 = nestfile.file_sha256(model)
    flow.prepare(model, "host", out, optimize="size")
    assert project.is_current(out, sha256, SIZE)
    for other in (
        replace(SIZE, optimize="balanced"),
        replace(SIZE, codecs="lz4"),
        replace(SIZE, decode="level"),
        replace(SIZE, kernels="cmsis-nn"),
        replace(SIZE, board=boards.load("qemu_m4")),
        replace(SIZE, board=replace(SIZE.board, title="Another")),
    ):
        assert not project.is_current(out, sha256, other)
    flow.prepare(model, "host", out)
    assert manifest.read_info(out).target == resolve("host")


def test_a_project_of_an_earlier_version_is_generated_again(model: Path, tmp_path: Path) -> None:
    out = flow.prepare(model, "host", tmp_path / "out")
    marker = json.loads((out / manifest.MARKER).read_text())
    marker["nestnet_project"] = 5
    marker |= marker.pop("target")
    (out / manifest.MARKER).write_text(json.dumps(marker))
    with pytest.raises(UserError, match="Run `nestnet codegen` again"):
        manifest.read_info(out)
    flow.prepare(model, "host", out)
    assert manifest.read_info(out).target == resolve("host")


def test_a_network_pruned_to_a_budget_is_stored_as_it_was_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.nestnet"
    provenance = replace(graph().provenance, flash_budget_bytes=10_000, codecs="lz4")
    nestfile.save(replace(graph(), provenance=provenance), path)
    info = manifest.read_info(flow.prepare(path, "host", tmp_path / "out"))
    assert info.target == resolve("host", optimize="size", codecs="lz4")


@pytest.mark.parametrize("words", [
    {"board": "qemu_m4"},
    {"optimize": None},
    {"codecs": "zip"},
    {"speed": "high"},
])  # fmt: skip
def test_a_record_of_another_target_is_refused(
    model: Path, tmp_path: Path, words: dict[str, str | None]
) -> None:
    out = flow.prepare(model, "host", tmp_path / "out")
    marker = json.loads((out / manifest.MARKER).read_text())
    marker["target"] |= words
    (out / manifest.MARKER).write_text(json.dumps(marker))
    with pytest.raises(UserError):
        manifest.read_info(out)
