"""From raw numbers to outputs: a program that includes model.h, against NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from codegen.emit import fit, project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.sources.quantizer import FloatSource, Source, float_source, int16_source
from codegen.graph.sources.spectrogram import Spectrogram
from codegen.graph.verify import VerifyError, verify
from codegen.target.target import resolve
from tests.support.firmware.rig import M4_FLAGS, SANITIZERS, need, run_checked
from tests.support.projects import SHA256, WARNINGS, arrays_of

SOUND = Spectrogram(rate_hz=8000, frame=320, hop=160, frames=7)
SOURCES: dict[str, Source] = {
    "input": int16_source((3.0,), (50.0,), SOUND),
    "motion": int16_source((0.0, -5.5, 700.0), (11.0, 0.7, 100.0)),
    "weather": float_source((20.0, 1013.25), (0.3, 1.7)),
}


def three_sources() -> Graph:
    """Return a network that hears, moves and feels the weather."""
    net = GraphBuilder(SOUND.shape, 2, 9, "senses")
    motion = net.input("motion", (1, 11, 3), "samples")
    weather = net.input("weather", (1, 1, 2), "samples")
    body = net.conv("input", 6, (3, 3), stride=(2, 2), group=2, densities=(0.4, 0.9))
    heard = net.linear(body, 5, group=1, densities=(0.3, 0.8))
    moved = net.linear(motion, 5, group=2, densities=(0.5, 0.9))
    net.add(net.add(heard, moved), net.linear(weather, 5))
    graph = net.graph()
    values = [
        replace(value, meaning="samples", source=SOURCES[value.name])
        if value.name in SOURCES
        else value
        for value in graph.values
    ]
    return verify(replace(graph, values=tuple(values)))


def raw_numbers(seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.integers(-3000, 3001, SOUND.samples).astype(np.int16),
        "motion": rng.integers(-1200, 1200, (11, 3)).astype(np.int16),
        "weather": rng.normal((20, 1013), (9, 60), (1, 2)).astype(np.float32),
    }


def quantized(raw: dict[str, NDArray[Any]]) -> list[NDArray[np.int8]]:
    features = SOUND.of_clips(raw["input"][None])
    return [
        SOURCES["input"].quantize(features),
        SOURCES["motion"].quantize(raw["motion"])[None, None],
        SOURCES["weather"].quantize(raw["weather"])[None, None],
    ]


def array(name: str, values: NDArray[Any]) -> str:
    """Return a C array; floats as hexadecimal, exactly."""
    kind = "float" if values.dtype == np.float32 else f"{values.dtype}_t"
    flat = values.reshape(-1).tolist()
    texts = [v.hex() + "f" if isinstance(v, float) else str(v) for v in flat]
    return f"static const {kind} {name}[] = {{{','.join(texts)}}};\n"


MAIN = """
static uint8_t arena[NN_SENSES_ARENA_BYTES] __attribute__((aligned(NN_ARENA_ALIGN_BYTES)));
static int16_t log_mel[NN_SENSES_INPUT_0_LOG_MEL_BYTES / 2], features[NN_SENSES_INPUT_0_BYTES];
static int32_t scratch[NN_SENSES_INPUT_0_SCRATCH_BYTES / 4];

int main(void)
{
    nn_net net;
    if (nn_init(&net, &nn_model_senses, arena, sizeof arena) != NN_OK) {
        return 2;
    }
    for (unsigned frame = 0; frame < NN_SENSES_INPUT_0_FRAMES; frame++) {
        nn_spectrogram_frame(&nn_sound_senses_0, sound + frame * NN_SENSES_INPUT_0_HOP, scratch,
                             log_mel + frame * NN_SENSES_INPUT_0_MELS);
    }
    for (unsigned level = 0; level < 2; level++) {
        nn_spectrogram_window(&nn_sound_senses_0, log_mel, 0, features);
        nn_quantize_int16(&nn_source_senses_0, features, sizeof features / 2, nn_input(&net, 0));
        nn_quantize_int16(&nn_source_senses_1, motion, NN_SENSES_INPUT_1_BYTES, nn_input(&net, 1));
        nn_quantize_float(&nn_source_senses_2, weather, NN_SENSES_INPUT_2_BYTES, nn_input(&net, 2));
        if (nn_set_level(&net, level) != NN_OK || nn_run(&net, NULL, NULL) != NN_OK) {
            return 3;
        }
        for (unsigned i = 0; i < NN_SENSES_OUTPUT_BYTES; i++) {
            if (nn_output(&net, 0)[i] != expected[level * NN_SENSES_OUTPUT_BYTES + i]) {
                return 1;
            }
        }
    }
    return 0;
}
"""


def test_a_program_of_raw_numbers_gives_the_outputs_of_the_reference(tmp_path: Path) -> None:
    graph, raw = three_sources(), raw_numbers(5)
    levels = [reference.run(graph, quantized(raw), level)[0] for level in range(2)]
    assert len(np.unique(np.stack(levels))) > 5
    made = project.write(graph, SHA256, resolve("host"), tmp_path / "made")
    text = '#include "model.h"\n' + array("expected", np.stack(levels).astype(np.int8))
    for name, key in (("sound", "input"), ("motion", "motion"), ("weather", "weather")):
        text += array(name, raw[key])
    (tmp_path / "main.c").write_text(text + MAIN, encoding="ascii")
    sources = [str(path) for path in sorted((made / "library").rglob("*.c"))]
    command = ["gcc", "-std=c99", "-O1", *WARNINGS, *SANITIZERS, f"-I{made / 'library'}"]
    run_checked([*command, "main.c", *sources, "-o", "senses"], tmp_path)
    run_checked(["./senses"], tmp_path)


def test_the_example_feeds_raw_numbers(tmp_path: Path) -> None:
    graph = three_sources()
    made = project.write(graph, SHA256, resolve("host"), tmp_path / "made")
    assert arrays_of(made) == sum(fit.beside_bytes(graph).values()) > 3000
    sources = [str(path) for path in sorted((made / "library").rglob("*.c"))]
    sources += [str(made / "rig/port" / file) for file in ("nn_port_host.c", "nn_mark.c")]
    includes = [f"-I{made / 'library'}", f"-I{made / 'rig/port'}"]
    command = ["gcc", "-std=c11", "-O1", *WARNINGS, *SANITIZERS, *includes]
    run_checked([*command, str(made / "example/main.c"), *sources, "-o", "example"], tmp_path)
    run_checked(["./example"], tmp_path)


def test_a_board_is_refused_that_lacks_ram_for_raw_numbers(tmp_path: Path) -> None:
    loud = Spectrogram(rate_hz=44_100, frame=1764, hop=882, frames=13)
    net = GraphBuilder((13, 10, 1), 1, 3, "loud")
    graph = net.graph({net.linear("input", 3): "class_scores"})
    fed = replace(graph.only_input, meaning="samples", source=int16_source((0.0,), (9.0,), loud))
    values = tuple(fed if value.name == "input" else value for value in graph.values)
    project.write(graph, SHA256, resolve("qemu_m0"), tmp_path / "fits")
    with pytest.raises(UserError, match="13020 bytes of raw numbers"):
        project.write(
            replace(graph, values=values), SHA256, resolve("qemu_m0"), tmp_path / "does_not"
        )


def test_the_header_says_what_inputs_are_made_of(tmp_path: Path) -> None:
    made = project.write(three_sources(), SHA256, resolve("stm32f7"), tmp_path / "made")
    header = (made / "library/model.h").read_text()
    assert "Input 1 (motion): 1x11x3 int8 samples" in header
    assert "#define NN_SENSES_INPUT_0_RATE_HZ 8000u\n" in header
    assert "nn_quantize_float(&nn_source_senses_2, raw, NN_SENSES_INPUT_2_BYTES, input)" in header
    command = [need("arm-none-eabi-gcc"), *M4_FLAGS, "-std=c99", "-O2", *WARNINGS, "-fsyntax-only"]
    run_checked([*command, str(made / "library/model.c")], tmp_path)


def test_the_readme_shows_how_inputs_are_made(tmp_path: Path) -> None:
    made = project.write(three_sources(), SHA256, resolve("host"), tmp_path / "made")
    lines = (made / "README.md").read_text().splitlines()
    assert "static int16_t log_mel_0[NN_SENSES_INPUT_0_FRAMES * NN_SENSES_INPUT_0_MELS];" in lines
    first = next(i for i, line in enumerate(lines) if "nn_spectrogram_window(" in line)
    found = [line.split("(")[0] for line in lines[first : first + 5]]
    assert found == [
        "nn_spectrogram_window",
        *["nn_quantize_int16"] * 2,
        "nn_quantize_float",
        "nn_run",
    ]


def test_a_file_holds_the_sources() -> None:
    graph = three_sources()
    again = nestfile.from_bytes(nestfile.to_bytes(graph), "senses")
    assert again.values == graph.values


@pytest.mark.parametrize("name", ["input", "hidden"])
def test_only_an_input_of_samples_has_a_source(name: str) -> None:
    graph = three_sources()
    hidden = graph.ops[0].output
    changed = {
        "input": ("input", {"meaning": "pixels"}),
        "hidden": (hidden, {"source": FloatSource((0.0,) * 6, (1.0,) * 6)}),
    }[name]
    values = [replace(v, **changed[1]) if v.name == changed[0] else v for v in graph.values]
    with pytest.raises(VerifyError, match="only inputs of samples have a source"):
        verify(replace(graph, values=tuple(values)))
