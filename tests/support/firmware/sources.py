"""Run what comes before a network's input on the host or an emulated core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.emit import render
from codegen.graph.sources.quantizer import FloatSource, Int16Source, Source
from codegen.target.emulator import counts, plugin
from tests.support.firmware.decoders import Machine
from tests.support.firmware.rig import (
    FIRMWARE,
    HARNESS,
    M4_FLAGS,
    M7_FLAGS,
    SANITIZERS,
    STANDARD,
    WARNINGS,
    need,
    run_checked,
)

OLDEST = 2
"""The row of the ring that the harness begins with."""


@dataclass(frozen=True)
class Heard:
    """What C made of sound."""

    log_mel: NDArray[np.int16]
    """(frames, mels), oldest first."""
    features: NDArray[np.int16]
    input: NDArray[np.int8]
    instructions: tuple[int, ...]
    """Of every frame, then of the window; empty on the host."""


def quantized(
    source: Source, raw: NDArray[Any], folder: Path, machine: Machine, flags: tuple[str, ...] = ()
) -> NDArray[np.int8]:
    """Return the int8 values that C makes of ``raw`` (n, c)."""
    kind = "FLOAT" if isinstance(source, FloatSource) else "INT16"
    defined = {kind: 1, "COUNT": raw.size, "INPUTS": raw.size}
    data, _ = _run(source, defined, raw, folder, machine, flags, 0)
    return np.frombuffer(data, np.int8).reshape(raw.shape)


def heard(
    source: Int16Source,
    clip: NDArray[np.int16],
    folder: Path,
    machine: Machine,
    flags: tuple[str, ...] = (),
) -> Heard:
    """Return what C makes of a ``clip`` (samples,) of one window."""
    sound = source.spectrogram
    assert sound is not None and len(clip) == sound.samples
    sizes = {"FRAMES": sound.frames, "MELS": sound.mels, "FFT": sound.fft, "HOP": sound.hop}
    inputs = sound.frames * sound.width
    defined = {"SOUND": 1, **sizes, "OLDEST": OLDEST % sound.frames, "INPUTS": inputs}
    defined["COUNT"] = len(clip)
    slots = 0 if machine == "host" else sound.frames + 1
    data, instructions = _run(source, defined, clip, folder, machine, flags, slots)
    rows = sound.frames * sound.mels
    ring = np.frombuffer(data, np.int16, rows).reshape(sound.frames, sound.mels)
    features = np.frombuffer(data, np.int16, inputs, 2 * rows)
    return Heard(
        np.roll(ring, -(OLDEST % sound.frames), axis=0),
        features.reshape(sound.shape),
        np.frombuffer(data, np.int8, inputs, 2 * (rows + inputs)).reshape(sound.shape),
        instructions,
    )


def _run(
    source: Source,
    defined: dict[str, int],
    raw: NDArray[Any],
    folder: Path,
    machine: Machine,
    flags: tuple[str, ...],
    slots: int,
) -> tuple[bytes, tuple[int, ...]]:
    text = "".join(f"#define {name} {value}\n" for name, value in defined.items())
    tables = text + render.source_tables(source, "test")
    (folder / "sources.inc").write_text(tables, encoding="ascii")
    (folder / "raw.bin").write_bytes(np.ascontiguousarray(raw).tobytes())
    names = ("sources/nn_quantize.c", "sources/nn_spectrogram.c", "port/nn_mark.c")
    files = [HARNESS / "sources_harness.c", *(FIRMWARE / name for name in names)]
    includes = [f"-I{path}" for path in (FIRMWARE, FIRMWARE / "port", folder)]
    options = [*STANDARD, *WARNINGS, *(flags or ("-O2",)), *includes]
    if machine == "host":
        files.append(FIRMWARE / "port/nn_port_host.c")
        command = ["gcc", *options, *SANITIZERS]
    else:
        files += [FIRMWARE / "startup/nn_startup.c", FIRMWARE / "port/nn_port_semihosting.c"]
        core = M7_FLAGS if machine == "mps2-an500" else M4_FLAGS
        command = [need("arm-none-eabi-gcc"), *core, *options, "-nostartfiles"]
        command += ["--specs=nano.specs", "-Wl,--no-warn-rwx-segments", "-T"]
        command.append(str(HARNESS / "qemu.ld"))
    elf = folder / "sources.elf"
    run_checked([*command, "-o", str(elf), *map(str, files)], folder)
    if machine == "host":
        run_checked([str(elf)], folder)
        return (folder / "answers.bin").read_bytes(), ()
    emulator = [need("qemu-system-arm"), "-M", machine, "-display", "none", "-monitor", "none"]
    emulator += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
    if slots:
        options = counts.plugin_arguments(elf, slots, folder / "counts.txt")
        text = ",".join(f"{key}={value}" for key, value in options.items())
        emulator += ["-plugin", f"{plugin.build()},{text}"]
    run_checked([*emulator, "-kernel", str(elf)], folder)
    found = counts.read(folder / "counts.txt").instructions() if slots else ()
    return (folder / "answers.bin").read_bytes(), tuple(found)
