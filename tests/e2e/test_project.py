"""Generated projects: their text, where they may be written, and what can be done with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from codegen import flow, paths
from codegen.emit import project, render
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Meaning
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import linear_layer_graph, random_images, random_inputs
from codegen.measure import compare
from codegen.target import boards, manifest, toolchain
from codegen.target.manifest import EdgeFacts
from codegen.target.target import resolve
from tests.support.commands import ROOT
from tests.support.edge_nets import detector, fusion, gates
from tests.support.projects import SHA256, Build, coded_graph, need_tools, small_graph

GOLDEN = Path(__file__).parent / "golden"


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder: Path, board_id: str = "stm32f7", name: str = "tiny") -> Path:
    return project.write(small_graph(name), SHA256, resolve(board_id), folder)


def generated(made: Path) -> list[str]:
    """Return the files of a project that are not copies of the runtime."""
    copied = ("library/firmware/", "rig/port/", "rig/startup/")
    return [name for name in tree(made) if not name.startswith(copied)]


@pytest.mark.parametrize("board_id", ["stm32f7", "host"])
def test_text_equals_the_golden_files(tmp_path: Path, board_id: str) -> None:
    """Update them with UPDATE_GOLDEN=1, and read the diff."""
    made = write(tmp_path / "made", board_id)
    names = ["Makefile"] if board_id == "host" else generated(made)
    for name in sorted(names):
        golden = GOLDEN / board_id / name
        if os.environ.get("UPDATE_GOLDEN"):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes((made / name).read_bytes())
        assert (made / name).read_text() == golden.read_text(), f"{name} changed"


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    first = tree(write(tmp_path / "a" / "first"))
    second = tree(write(tmp_path / "b"))
    assert first == second
    replaced = tree(write(tmp_path / "b"))
    assert replaced == first
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}, "no temporary folder is left"


def test_text_holds_no_path_and_no_time(tmp_path: Path) -> None:
    for name, content in tree(write(tmp_path / "made")).items():
        text = content.decode()
        assert str(tmp_path) not in text and str(ROOT) not in text, name
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text), name


def test_lines_are_short(tmp_path: Path) -> None:
    """Of a layer with the longest reason for its kernel and a name of 18 characters."""
    graph = linear_layer_graph(311, 10, densities=(0.03,))
    graph = replace(graph, ops=tuple(replace(op, name="n" * 18) for op in graph.ops))
    made = project.write(graph, SHA256, resolve("stm32f7"), tmp_path / "made")
    assert "weight set" in (made / "library/model.c").read_text()
    for name in ("library/model.c", "library/weights.c", "example/main.c", "rig/runner.c"):
        longest = max((made / name).read_text().splitlines(), key=len)
        assert len(longest) <= 140, f"{name}: {longest}"


def test_facts_survive_the_marker_file(tmp_path: Path) -> None:
    info = manifest.read_info(write(tmp_path / "out"))
    assert (info.network, info.target.board.id, info.graph_sha256) == ("tiny", "stm32f7", SHA256)
    assert info.inputs == (EdgeFacts("input", "pixels", (5, 7, 3)),)
    assert info.outputs == (EdgeFacts("value6", "class_scores", (1, 1, 3)),)
    assert [layer.index for layer in info.layers] == list(range(len(info.layers)))
    assert info.levels[0].weight_bytes < info.levels[1].weight_bytes <= info.weights_bytes


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"nestnet_project": 6}', '{"nestnet_project": 5}']
)
def test_a_damaged_marker_is_a_user_error(tmp_path: Path, text: str) -> None:
    (tmp_path / manifest.MARKER).write_text(text)
    with pytest.raises(UserError, match="Run `nestnet codegen` again"):
        manifest.read_info(tmp_path)


def test_unknown_board_and_kernels(tmp_path: Path) -> None:
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph(), path)
    with pytest.raises(UserError, match="unknown board"):
        flow.codegen(path, "esp32", tmp_path / "out")
    with pytest.raises(UserError, match="nestnet or cmsis-nn"):
        flow.codegen(path, "host", tmp_path / "out", kernels="xnnpack")
    assert [item.name for item in tmp_path.iterdir()] == ["model.nestnet"]


def test_names_cannot_break_the_text(build: Build) -> None:
    graph = small_graph("awkward")
    names = ('a*/b "c"', "d\\e\n??/", "žluť", "why ????/")
    provenance = replace(graph.provenance, class_names=names)
    graph = replace(graph, provenance=provenance)
    levels = tuple(replace(level, name=f'"{i}\\"*/ %s') for i, level in enumerate(graph.levels))
    built = build(replace(graph, levels=levels), "host")
    result = subprocess.run([built.firmware_elf], capture_output=True, text=True, check=True)
    assert 'frame 1, level "1\\"*/ %s: class ' in result.stdout


@pytest.mark.parametrize("board_id", ["host", "qemu_m4"])
def test_a_network_without_weights(build: Build, board_id: str) -> None:
    net = GraphBuilder((4, 6, 5), 2, 3, "pools")
    net.pool(net.pool("input", MaxPool, (2, 2), (2, 2)), AvgPool, (2, 3), (1, 1))
    graph = net.graph()
    made = compare.compare(build(graph, board_id), graph, random_inputs(graph, 2, 1), None, [0, 1])
    assert made.bit_exact and made.weights_bytes == 4


def test_link_time_optimization_keeps_the_markers(tmp_path: Path) -> None:
    need_tools("qemu_m4")
    graph = small_graph()
    flags = {"EXTRA_CFLAGS": "-flto", "AR": "arm-none-eabi-gcc-ar"}
    built = toolchain.build(write(tmp_path / "out", "qemu_m4"), flags)
    made = compare.compare(built, graph, random_inputs(graph, 2, 1), None, [0, 1])
    assert made.bit_exact and (made.levels[0].instructions or 0) > 1000


def test_a_program_without_markers_is_a_user_error(build: Build) -> None:
    built = build(small_graph(), "qemu_m4")
    subprocess.run(["arm-none-eabi-strip", built.runner_elf], check=True)
    with pytest.raises(UserError, match=r"got no nn_mark_begin.* -flto or -s"):
        compare.compare(built, small_graph(), random_inputs(small_graph(), 1, 1), None, [0])


def test_comments_hold_no_control_characters(tmp_path: Path) -> None:
    graph = small_graph("control")
    ops = tuple(replace(op, name=f"{op.name}\0one\u202e*/two\x1b") for op in graph.ops)
    graph = replace(graph, ops=ops)
    out = project.write(graph, SHA256, resolve("host"), tmp_path / "out")
    for path in (item for item in out.iterdir() if item.suffix in (".c", ".h")):
        text = path.read_text(encoding="utf-8")
        assert all(char == "\n" or char.isprintable() for char in text), path.name


@pytest.mark.parametrize("board_id", ["stm32f7", "stm32f4", "stm32l4", "stm32h7"])
def test_real_boards_link_inside_their_memory(build: Build, board_id: str) -> None:
    built = build(small_graph(), board_id)
    assert built.sizes.flash_bytes == built.sizes.weights_bytes + built.sizes.code_bytes
    parts = built.sizes.arena_bytes + built.sizes.variables_bytes + built.sizes.stack_reserve_bytes
    assert built.sizes.ram_bytes == parts
    assert built.sizes.weights_bytes == built.info.weights_bytes
    assert built.sizes.stack_reserve_bytes == render.STACK_BYTES
    stored = json.loads((built.project / toolchain.SIZES_JSON).read_text())
    assert stored["flash_bytes"] == built.sizes.flash_bytes
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-h", built.firmware_elf],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"\.text +\w+ +08000000", listing), "code starts where the chip boots from"


@pytest.mark.parametrize(("region", "advice"), [("FLASH", "densest level"), ("RAM", "The arena")])
def test_too_large_says_by_how_much(build: Build, region: str, advice: str) -> None:
    built = build(small_graph(), "stm32f4")
    limit = {"FLASH": 8192, "RAM": 4608}[region]
    taken = {"FLASH": built.sizes.flash_bytes, "RAM": built.sizes.ram_bytes}[region]
    script = built.project / "rig/linker.ld"
    text = re.sub(rf"({region} .*LENGTH = )\d+", rf"\g<1>{limit}", script.read_text())
    script.write_text(text)
    with pytest.raises(UserError) as caught:
        toolchain.build(built.project)
    message = str(caught.value)
    over = int(re.search(rf"{region} is over-full by (\d+) bytes", message)[1])  # type: ignore[index]
    # The test runner is larger than the example, so it may be what overflows.
    assert over >= taken - limit - 8
    assert f"got {limit + over} bytes, expected at most {limit}." in message
    assert advice in message
    if region == "FLASH":
        largest = max(built.info.layers, key=lambda layer: layer.flash_bytes)
        assert f"saves {built.info.levels[-1].own_bytes} bytes" in message
        assert f"layer {largest.name}" in message


def test_dropping_the_densest_level_saves_what_is_announced() -> None:
    from codegen.lower import lowering

    graph = small_graph()
    packed = lowering.lower(graph, resolve("host"))
    whole = sum(field.size_bytes for field in packed.image)
    kept = [
        field
        for layer in packed.layers
        for field in layer.all_members()
        if not any(field in (stream.positions, stream.weights) for stream in layer.streams[1:])
    ]
    tables = 0
    for layer in packed.layers:
        for table in (
            layer.members.get("multiplier"),
            layer.members.get("bias_delta"),
            layer.members.get("add_multiplier"),
        ):
            tables += table.size_bytes // table.dims[0] if table is not None else 0
    info = project._info(packed, boards.load("host"), SHA256)
    assert info.levels[-1].own_bytes == whole - sum(field.size_bytes for field in kept) + tables


def test_example_switches_levels_between_frames(build: Build) -> None:
    built = build(small_graph(), "host")
    result = subprocess.run([built.firmware_elf], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"frame {frame}, level L{frame % 2}" for frame in range(4)
    ]


def test_example_stops_cleanly_in_the_emulator(build: Build) -> None:
    built = build(small_graph(), "qemu_m7")
    machine = built.board.qemu_machine
    command = ["qemu-system-arm", "-machine", str(machine), "-nographic", "-monitor", "none"]
    command += ["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel"]
    result = subprocess.run(
        [*command, built.firmware_elf], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0
    assert "frame 3, level L1: class " in result.stdout + result.stderr


def test_flow_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("qemu_m4")
    monkeypatch.chdir(tmp_path)
    graph = small_graph()
    path = tmp_path / "runs" / "first" / "model.nestnet"
    path.parent.mkdir(parents=True)
    nestfile.save(graph, path)
    images = random_images(graph, 3, seed=9)
    seen: list[tuple[str, int, int]] = []
    made = flow.run(path, "qemu_m4", images, [0, 1, 2], progress=lambda *state: seen.append(state))
    assert ("device", 6, 6) in seen and seen[-2:] == [("reference", 3, 6), ("reference", 6, 6)]
    assert made.bit_exact and made.graph_sha256 == nestfile.file_sha256(path)
    folder = tmp_path / "build" / "first-qemu_m4"
    stamp = (folder / "build/runner.elf").stat().st_mtime_ns
    bench = flow.bench(path, "qemu_m4", images)
    assert (folder / "build/runner.elf").stat().st_mtime_ns == stamp, "nothing is built twice"
    assert [level.instructions for level in bench.levels] == [
        level.instructions for level in made.levels
    ]
    assert flow.bench(path, "qemu_m4", images).as_json() == bench.as_json(), "deterministic"
    as_json = made.as_json()
    assert set(as_json["levels"][0]) >= {
        "level", "sparsity", "accuracy_float", "accuracy_reference", "accuracy_device", "bit_exact",
        "images", "instructions", "flash_bytes", "ram_bytes",
    }  # fmt: skip
    assert {"weights_bytes", "arena_bytes", "elf"} <= set(as_json)
    json.dumps(as_json)
    with pytest.raises(UserError, match=r"expected int8 \(n, 5, 7, 3\)"):
        flow.run(path, "qemu_m4", images[:, :4])
    with pytest.raises(UserError, match=r"no such level; got 2, expected 0\.\.1"):
        flow.run(path, "qemu_m4", images, levels=[0, 2])


def test_bench_of_a_chip_runs_on_the_emulated_core(tmp_path: Path) -> None:
    need_tools("qemu_m4")
    graph = small_graph()
    path = tmp_path / "model.nestnet"
    nestfile.save(graph, path)
    images = random_images(graph, 2, seed=9)
    chip = flow.bench(path, "stm32l4", images, out=tmp_path / "chip")
    emulated = flow.bench(path, "qemu_m4", images, out=tmp_path / "emulated")
    assert (chip.board, chip.executed_on) == ("stm32l4", "qemu_m4")
    for slow, fast in zip(chip.levels, emulated.levels, strict=True):
        assert slow.instructions == fast.instructions
        assert slow.cycles.low > fast.cycles.low, "flash of the chip has wait states"
        assert slow.cycles.low == slow.cycles.high, "this chip's memory model is validated"
    assert chip.sizes.flash_limit_bytes == 2 * 2**20


@pytest.mark.parametrize("tool", ["make", "arm-none-eabi-gcc"])
def test_a_missing_tool_says_how_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    folder = write(tmp_path / "out")
    others = tmp_path / "bin"
    others.mkdir()
    for name in {"make", "arm-none-eabi-gcc"} - {tool}:
        (others / name).write_text("#!/bin/sh\n")
        (others / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(others))
    with pytest.raises(UserError, match=rf"{tool} is not installed.*apt-get install"):
        toolchain.build(folder)


def test_versions_agree_with_their_sources() -> None:
    package = (ROOT / "nestnet" / "version.py").read_text(encoding="utf-8")
    assert f'VERSION = "{render.GENERATOR_VERSION}"' in package
    header = (paths.firmware() / "nestnet.h").read_text(encoding="utf-8")
    assert f"#define NN_RUNTIME_VERSION {render.RUNTIME_VERSION}\n" in header


@pytest.mark.parametrize(
    ("board_id", "lines"),
    [
        ("stm32f4", ("FLASH_ACR_LATENCY_3WS", "FLASH_ACR_ICEN | FLASH_ACR_DCEN")),
        ("stm32l4", ("FLASH_ACR_LATENCY_5WS", "FLASH_ACR_ICEN | FLASH_ACR_DCEN")),
        ("stm32f7", ("FLASH_ACR_LATENCY_7WS", "SCB_EnableICache();", "SCB_EnableDCache();")),
        ("qemu_m7", ()),
    ],
)
def test_the_readme_says_how_to_turn_caches_on(
    tmp_path: Path, board_id: str, lines: tuple[str, ...]
) -> None:
    text = (write(tmp_path / "out", board_id) / "README.md").read_text()
    assert ("## Caches" in text) == bool(lines)
    assert all(line in text for line in lines)


def test_the_example_of_several_edges_runs(build: Build) -> None:
    built = build(detector(), "host")
    shown = subprocess.run([built.firmware_elf], capture_output=True, text=True, check=True).stdout
    frames = shown.splitlines()
    assert len(frames) == 4
    for number, line in enumerate(frames):
        found = rf"frame {number}, level L[01], class [0-4], largest at \d+, largest at \d+"
        assert re.fullmatch(found, line), line


def test_the_header_names_every_edge(tmp_path: Path) -> None:
    made = project.write(detector(), SHA256, resolve("stm32f7"), tmp_path / "made")
    header = (made / "library/model.h").read_text()
    assert "Input: 13x11x3 int8 pixels" in header
    assert re.search(r"Output 1 \(value\d+\): 6x5x4 int8 boxes", header)
    assert "#define NN_DETECTOR_OUTPUT_COUNT 3u\n" in header
    assert "#define NN_DETECTOR_INPUT_BYTES 429u\n" in header, "one input needs no number"
    assert "#define NN_DETECTOR_OUTPUT_2_HEIGHT 30u\n" in header
    assert "NN_DETECTOR_OUTPUT_BYTES" not in header
    readme = (made / "README.md").read_text()
    assert "nn_output(&net, 2)" in readme and "nn_run(&net, NULL, NULL)" in readme


def test_the_readme_compares_with_no_coding_where_something_is_coded(tmp_path: Path) -> None:
    """Nothing is smaller for want of coding that is not there: padding alone made it so."""
    for codecs in ("all", "raw"):
        target = resolve("stm32f7", optimize="size", codecs=codecs)
        folder = project.write(coded_graph(), SHA256, target, tmp_path / codecs)
        header, page = ((folder / name).read_text() for name in ("library/model.h", "README.md"))
        assert ("Coded streams are decoded" in header) == (codecs == "all")
        assert ("the same without coding" in page) == (codecs == "all")


def test_the_run_function_of_one_input_and_output_reads_the_callers(tmp_path: Path) -> None:
    text = (write(tmp_path / "made") / "library/model.c").read_text()
    body = text[text.index("static nn_status run_tiny(") :]
    body = body[: body.index("\n}\n")]
    assert "(void)input" not in body and "(net, input, arena" in body and ", output);" in body


def test_meanings_are_those_of_the_header() -> None:
    header = (paths.firmware() / "nestnet.h").read_text(encoding="utf-8")
    assert re.findall(r"NN_MEANS_(\w+)", header) == [name.upper() for name in get_args(Meaning)]


def test_what_does_not_fit_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    path = tmp_path / "gates.nestnet"
    nestfile.save(gates(), path)
    inputs = random_inputs(gates(), 2, seed=1)
    with pytest.raises(UserError, match="no task knows its outputs"):
        flow.run(path, "host", inputs, [0, 1], out=tmp_path / "out")
    with pytest.raises(UserError, match="wrong number of inputs; got 1, expected 3"):
        flow.bench(path, "qemu_m4", inputs[0], out=tmp_path / "out")
    with pytest.raises(UserError, match="input gate: wrong type or shape"):
        flow.run(path, "host", (*inputs[:2], inputs[1]), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_output_of_a_run_is_compared(tmp_path: Path) -> None:
    need_tools("host")
    path = tmp_path / "detector.nestnet"
    nestfile.save(detector(), path)
    images = random_images(detector(), 3, seed=1)
    report = flow.run(path, "host", images, out=tmp_path / "out")
    assert report.bit_exact and report.levels[1].accuracy_device is None


def test_several_edges_are_measured(tmp_path: Path) -> None:
    need_tools("qemu_m4")
    path = tmp_path / "fusion.nestnet"
    nestfile.save(fusion(), path)
    made = flow.bench(path, "stm32f4", random_inputs(fusion(), 2, seed=1), out=tmp_path / "out")
    assert len(made.levels) == 3 and made.levels[0].instructions
