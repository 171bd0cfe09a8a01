"""What comes before a network's input: the bits of C are those of NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codegen.graph.sources.quantizer import float_source, int16_source
from codegen.graph.sources.spectrogram import Spectrogram
from tests.support.firmware.decoders import Machine
from tests.support.firmware.sources import heard, quantized

WORDS = Spectrogram(rate_hz=8000, frame=320, hop=160, frames=13)
BANDS = Spectrogram(
    rate_hz=11025, frame=441, hop=97, frames=11, mels=23, coefficients=0, lift_db=0, range_db=31
)
SHORT = Spectrogram(
    rate_hz=1000, frame=5, hop=1, frames=1, mels=2, coefficients=1, low_hz=50, high_hz=450
)


def clip_of(what: Spectrogram) -> NDArray[np.int16]:
    """Return noise that grows from nothing to full scale, an impulse and a constant."""
    count = what.samples
    loud = 2.0 ** np.linspace(-3, 15, count)
    clip = np.random.default_rng(count).uniform(-1, 1, count) * loud
    clip[count // 2] = -(2**15)
    clip[-count // 8 :] = -(2**15)
    return np.clip(np.trunc(clip), -(2**15), 2**15 - 1).astype(np.int16)


@pytest.mark.parametrize("machine", ["host", "mps2-an386"])
@pytest.mark.parametrize("what", [WORDS, BANDS, SHORT], ids=["mfcc", "bands", "short"])
def test_c_hears_what_numpy_hears(what: Spectrogram, machine: Machine, tmp_path: Path) -> None:
    source = int16_source((7.0,), (2.0**9 / 11,), what)
    clip = clip_of(what)
    found = heard(source, clip, tmp_path, machine)
    bands = what.log_mel(clip[None])
    features = what.features(bands)
    assert np.array_equal(found.log_mel, bands[0])
    assert np.array_equal(found.features, features[0])
    assert np.array_equal(found.input, source.quantize(features)[0])


def test_a_core_without_long_products_hears_the_same(tmp_path: Path) -> None:
    source, clip = int16_source((7.0,), (2.0**9 / 11,), BANDS), clip_of(BANDS)
    found = heard(source, clip, tmp_path, "host", ("-O2", "-DNN_LONG_PRODUCTS=0"))
    assert np.array_equal(found.log_mel, BANDS.log_mel(clip[None])[0])


@pytest.mark.parametrize("machine", ["host", "mps2-an386", "mps2-an500"])
def test_c_quantizes_as_numpy_does(machine: Machine, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    raw = rng.integers(-(2**15), 2**15, (511, 3)).astype(np.int16)
    raw[:2] = [[-(2**15)] * 3, [2**15 - 1] * 3]
    whole = int16_source((-3000.4, 0.0, 20000.0), (700.0, 0.01, 3.3))
    assert np.array_equal(quantized(whole, raw, tmp_path, machine), whole.quantize(raw))
    floats = rng.normal(0, (1.0, 100.0, 1e-3), (511, 3)).astype(np.float32)
    floats[:5] = [[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3, [1e-42] * 3, [-3e38] * 3]
    fine = float_source((0.0, 3.1, 0.001), (0.01, 1.7, 1e-5))
    flags = ("-O3", "-ffp-contract=fast")
    found = quantized(fine, floats, tmp_path, machine, flags)
    assert np.array_equal(found, fine.quantize(floats))


def test_what_hearing_costs(tmp_path: Path) -> None:
    """Executed instructions of an emulated Cortex-M4."""
    found = heard(int16_source((0.0,), (64.0,), WORDS), clip_of(WORDS), tmp_path, "mps2-an386")
    *frames, window = found.instructions
    assert max(frames) < 70_000 and window < 40_000
