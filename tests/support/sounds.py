"""Small data sets of sounds."""

from __future__ import annotations

import io
import wave

import numpy as np

TOML = """seconds = 0.1
frame_ms = 32
hop_ms = 16.0
mels = 7
coefficients = 3
low_hz = 100
"""


def tone(hz: float, samples: int = 800, rate_hz: int = 8000, channels: int = 1) -> bytes:
    """Return a .wav file of a sine."""
    wavy = np.rint(9000 * np.sin(np.arange(samples) * 2 * np.pi * hz / rate_hz)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(wavy, channels).tobytes())
    return buffer.getvalue()


def tree(splits: bool = True) -> dict[str, bytes]:
    """Return two classes, low and high, by three people."""
    files = {"sound.toml": TOML.encode()}
    for person in ("ann", "bob", "eve"):
        for label, hz in (("low", 300), ("high", 1900)):
            for take in range(2):
                split = "test/" if person == "eve" else "train/"
                name = f"{split if splits else ''}{label}/{take}_{person}.wav"
                files[name] = tone(hz + 31 * take + len(files))
    return files
