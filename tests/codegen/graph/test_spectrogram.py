"""Log-mel energies and MFCC in integers, against the same in floating point."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.sources import fourier
from codegen.graph.sources.spectrogram import NOTHING, Spectrogram, log_table
from tests.support.commands import ROOT

WORDS = Spectrogram(rate_hz=8000, frame=320, hop=160, frames=7)
ODD = Spectrogram(rate_hz=11025, frame=441, hop=211, frames=3, mels=23, coefficients=0, low_hz=90)
USUAL = Spectrogram(frames=3)


def sound(samples: int, peak: float, seed: int = 0) -> NDArray[np.int16]:
    """Return two sines in noise, (1, samples)."""
    t = np.arange(samples)
    noise = np.random.default_rng(seed).normal(0, 0.05, samples)
    wave = 0.6 * np.sin(0.31 * t) + 0.3 * np.sin(1.7 * t + 0.4) + noise
    return np.rint(peak * wave / np.abs(wave).max()).astype(np.int16)[None]


def float_log_mel(what: Spectrogram, clip: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return log2 of the bands' powers (frames, mels), from the definition."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(what.frame) / what.frame)
    starts = range(0, len(clip) - what.frame + 1, what.hop)
    frames = np.stack([clip[at : at + what.frame] * hann for at in starts])
    power = np.abs(np.fft.rfft(frames, what.fft)) ** 2
    hz = np.arange(what.fft // 2 + 1) * what.rate_hz / what.fft
    top = 2595 * np.log10(1 + (what.high_hz or what.rate_hz / 2) / 700)
    bottom = 2595 * np.log10(1 + what.low_hz / 700)
    edges = 700 * (10 ** (np.linspace(bottom, top, what.mels + 2) / 2595) - 1)
    rising = (hz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hz) / np.diff(edges)[1:, None]
    return np.log2(power @ np.clip(np.minimum(rising, falling), 0, None).T)


@pytest.mark.parametrize("size", [4, 8, 64, 512])
def test_powers_are_those_of_the_fourier_transform(size: int) -> None:
    samples = np.random.default_rng(size).integers(-(2**28) + 1, 2**28, (5, size))
    found = fourier.powers(samples, fourier.factors(size))
    exact = np.abs(4 * np.fft.rfft(samples)[:, : size // 2] / size) / 2.0**15
    assert found.shape == exact.shape and not found[:, 0].any()
    assert np.abs(np.sqrt(found) - exact)[:, 1:].max() < 2**-12 * 2**14


def test_nothing_overflows_in_the_transform() -> None:
    """The largest samples there are: their sums stay in 32 bits, and powers in 32 without sign."""
    for samples in (np.full(512, 2**28 - 1), (2**28 - 1) * (-1) ** (np.arange(512) // 2)):
        found = fourier.powers(samples[None], fourier.factors(512))
        assert found.min() >= 0 and found.max() < 2**32


@pytest.mark.parametrize("what", [WORDS, ODD, USUAL], ids=["mfcc", "odd", "usual"])
@pytest.mark.parametrize("peak", [32767, 1000, 30])
def test_log_mel_is_the_logarithm_of_the_bands(what: Spectrogram, peak: int) -> None:
    """However loud: what a quiet sound lacks are its own bits, not those of the arithmetic."""
    clip = sound(what.samples, peak)
    found = what.log_mel(clip)[0] / 2**8
    exact = float_log_mel(what, clip[0])
    assert found.shape == exact.shape == (what.frames, what.mels)
    difference = found - exact
    assert np.abs(difference - np.median(difference)).max() < 0.02  # octaves of power


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
def test_the_last_band_ends_at_half_the_rate(rate_hz: int) -> None:
    """Whichever way the logarithm and back round: no band reads beyond the transform."""
    for frame in (512, 2048):
        for high_hz in (0, rate_hz // 2):
            what = Spectrogram(rate_hz=rate_hz, frame=frame, frames=1, mels=13, high_hz=high_hz)
            assert what.mel_edges[-1] == frame // 2
            assert what.log_mel(sound(frame, 9000)).shape == (1, 1, 13)


def test_ten_times_louder_is_the_same_shifted() -> None:
    quiet, loud = (
        WORDS.log_mel(sound(WORDS.samples, 3000)),
        WORDS.log_mel(sound(WORDS.samples, 30000)),
    )
    octaves = (loud.astype(int) - quiet) / 2**8
    assert np.abs(octaves - 2 * np.log2(10)).max() < 0.1


def test_features_do_not_know_how_loud_a_window_is() -> None:
    features = [WORDS.of_clips(sound(WORDS.samples, peak))[0, ..., 0] for peak in (3000, 30000)]
    assert features[0].std() > 100
    assert np.abs(features[0].astype(int) - features[1]).max() < 30
    kept = replace(WORDS, lift_db=0)
    quiet, loud = (kept.of_clips(sound(WORDS.samples, peak))[0, ..., 0] for peak in (3000, 30000))
    assert (loud[:, 0].astype(int) - quiet[:, 0]).mean() > 2000


def test_coefficients_are_the_cosine_transform_of_the_bands() -> None:
    bands = replace(WORDS, coefficients=0).of_clips(sound(WORDS.samples, 9000))[0, ..., 0]
    k, m = np.arange(10)[:, None], np.arange(40)[None]
    table = np.sqrt(2 / 40) * np.cos(np.pi * k * (2 * m + 1) / 80)
    table[0] /= np.sqrt(2)
    found = WORDS.of_clips(sound(WORDS.samples, 9000))[0, ..., 0]
    assert np.abs(found - bands @ table.T).max() < 8


def test_silence_is_the_lowest_that_there_is() -> None:
    silence = np.zeros((2, WORDS.samples), np.int16)
    assert (WORDS.log_mel(silence) == NOTHING).all()
    found = replace(WORDS, coefficients=0).of_clips(silence)
    assert (found == WORDS.range_log // 2 - WORDS.range_log).all()


def test_the_range_ends_below_the_loudest_band() -> None:
    narrow = replace(WORDS, coefficients=0, range_db=12)
    found = narrow.of_clips(sound(WORDS.samples, 20000))
    assert found.max() == narrow.range_log // 2 and found.min() == found.max() - narrow.range_log


def test_frames_do_not_depend_on_what_is_computed_with_them() -> None:
    clips = np.concatenate([sound(WORDS.samples, 20000, seed) for seed in range(11)])
    together = WORDS.log_mel(clips)
    assert np.array_equal(together[9], WORDS.log_mel(clips[9:10])[0])
    assert WORDS.log_mel(clips[:0]).shape == (0, 7, 40)


def test_c_has_the_table_of_logarithms() -> None:
    text = (ROOT / "firmware/sources/nn_spectrogram.c").read_text(encoding="ascii")
    body = text.split("log_table[33] = {")[1].split("}")[0]
    assert [int(word) for word in re.findall(r"\d+", body)] == log_table().tolist()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rate_hz": 999}, "rate out of range"),
        ({"frame": 2049}, "frame out of range; got 2049, expected 4..2048"),
        ({"hop": 0}, "hop out of range"),
        ({"frames": 0}, "frames out of range"),
        ({"mels": 129}, "mels out of range"),
        ({"coefficients": 41}, "coefficients out of range; got 41, expected 0..40"),
        ({"low_hz": 4000}, "low_hz out of range"),
        ({"high_hz": 4001}, "high_hz out of range"),
        ({"range_db": 91}, "range_db out of range"),
        ({"lift_db": -1}, "lift_db out of range"),
        ({"frame": 64}, "mel bands lie between two frequencies"),
    ],
)
def test_what_cannot_be_computed_is_refused(change: dict[str, int], named: str) -> None:
    WORDS.check()
    ODD.check()
    with pytest.raises(UserError, match=re.escape(named)):
        replace(WORDS, **change).check()
