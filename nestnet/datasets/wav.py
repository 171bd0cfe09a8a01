"""Your own recordings of sounds: <class>/, or train/<class>/ and test/<class>/, of .wav files."""

from __future__ import annotations

import io
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.sources.spectrogram import Spectrogram
from nestnet.datasets._reading.cache import cached_array
from nestnet.datasets._reading.description import described, file_in, groups_of, needed
from nestnet.datasets._reading.layout import Kind, Layout, find_layout
from nestnet.datasets._reading.source import Source, listing_of, track
from nestnet.datasets._split import SHARE, content_hash, draw, refuse_share, test_mask
from nestnet.datasets._types import Dataset, Split
from nestnet.datasets.folder import SOUND_SUFFIXES

DESCRIPTION = "sound.toml"
TEST_LIST, NOISE = "testing_list.txt", "_background_noise_"
"""What Speech Commands (arXiv 1804.03209) has beside its class folders."""
_UNKNOWN_SIZE = 0x7FFF0000
"""Bytes of samples from which on a .wav file's head does not say how many there are."""
SOUNDS = Kind("sound", SOUND_SUFFIXES)
_REAL = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
"""Encodings of real numbers, 1 being full scale: read as int16 they are not scaled, or wrap around
where they reach beyond it (https://github.com/libsndfile/libsndfile/issues/388)."""
_LOUDEST = 2.0
"""Of full scale, the most that stored real numbers may reach; beyond 1 they saturate."""


@dataclass(frozen=True)
class Sound:
    """What sound.toml may say; every key has a default."""

    seconds: float = 1.0
    """Of a window: shorter recordings are centred in silence, of longer ones the loudest part is
    taken."""
    frame_ms: float = 40.0
    hop_ms: float = 20.0
    mels: int = Spectrogram.mels
    coefficients: int = Spectrogram.coefficients
    """Cepstral coefficients; 0: the mel bands themselves."""
    low_hz: int = Spectrogram.low_hz
    high_hz: int = Spectrogram.high_hz
    range_db: int = Spectrogram.range_db
    lift_db: int = Spectrogram.lift_db
    group_of_file: str = ""
    """A regular expression whose parentheses find who speaks in the name of a file; a group is in
    one split only."""
    test_groups: tuple[str, ...] = ()
    """The groups of the test data; empty: drawn."""


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load sounds sorted into class folders, as a network hears them (:class:`Spectrogram`).

    Without train/ and test/, test sounds are drawn by the hash of their files, or with
    ``group_of_file`` whole groups.

    Raises:
        UserError: no ``data``; no class folders, an empty, single or differing class; files that
            are no sound, of several rates or empty (all named); a wrong sound.toml; ``resize``;
            ``test_share`` beside a test/ folder.
    """
    path = needed(data, "wav", f"a directory or archive with {SOUNDS.expected}")
    if resize is not None:
        raise UserError(
            "--resize",
            "sounds have no height and width",
            got=f"{resize[0]}x{resize[1]}",
            expected="nothing",
            action=f"Leave --resize out; {DESCRIPTION} says how sounds are heard",
        )
    source = Source(path)
    where = f"{path}/{DESCRIPTION}"
    name = file_in(source.names(), DESCRIPTION)
    content = None if name is None else dict(source.files(frozenset((name,))))[name]
    what = described(Sound, where, content)
    layout = find_layout(source, SOUNDS)
    if NOISE in layout.class_names:
        raise UserError(
            f"{path}/{NOISE}",
            "background noise beside the classes",
            got="a folder of noise",
            expected="classes to tell apart",
            action="Move it away, training adds noise of its own; or rename it to be a class",
        )
    clips, hashes, rate_hz = _decoded(source, layout)
    spectrogram = _spectrogram(where, what, rate_hz)
    names = tuple(layout.labels)
    listed = file_in(source.names(), TEST_LIST)
    if listed is not None and layout.splits is None and not what.group_of_file:
        refuse_share(test_share, f"{TEST_LIST} names the test sounds")
        lines = dict(source.files(frozenset((listed,))))[listed]
        is_test, notes = _listed_split(path, listed, lines, names)
    else:
        is_test, notes = _split(path, where, what, layout, hashes, test_share)
    windows = np.stack([placed(clips[name], spectrogram.samples) for name in names])
    longer = sum(len(clips[name]) > spectrogram.samples for name in names)
    if longer:
        notes = (*notes, f"{longer} of {len(names)} sounds are longer than {what.seconds:g} s: "
                 "their loudest part is heard")  # fmt: skip
    key = f"{source.fingerprint()}\0{spectrogram}"
    features = cached_array("wav", key, lambda: spectrogram.of_clips(windows))
    labels = np.array([layout.labels[name] for name in names], np.int64)
    test = np.array([is_test[name] for name in names])
    splits = [Split(features[rows], labels[rows], windows[rows]) for rows in (~test, test)]
    return Dataset(
        name="wav",
        title=path.resolve().name.split(".")[0],
        train=splits[0],
        test=splits[1],
        class_names=layout.class_names,
        default_augment="sound",
        notes=(*layout.notes, *notes),
        test_share=test_share,
        spectrogram=spectrogram,
    )


def _spectrogram(where: str, what: Sound, rate_hz: int) -> Spectrogram:
    """Return how sounds of ``rate_hz`` are heard."""
    if not 0 < what.frame_ms <= 1000 or not 0 < what.hop_ms <= 1000 or not 0 < what.seconds <= 60:
        raise UserError(
            where,
            "no such times",
            got=f"frame_ms {what.frame_ms:g}, hop_ms {what.hop_ms:g}, seconds {what.seconds:g}",
            expected="above 0, frames of at most 1000 ms, windows of at most 60 s",
            action="Change them",
        )
    frame, hop = (max(1, round(ms * rate_hz / 1000)) for ms in (what.frame_ms, what.hop_ms))
    made = Spectrogram(
        rate_hz=rate_hz,
        frame=frame,
        hop=hop,
        frames=max(1, 1 + (round(what.seconds * rate_hz) - frame) // hop),
        mels=what.mels,
        coefficients=what.coefficients,
        low_hz=what.low_hz,
        high_hz=what.high_hz,
        range_db=what.range_db,
        lift_db=what.lift_db,
    )
    made.check()
    return made


def placed(clip: NDArray[np.int16], samples: int) -> NDArray[np.int16]:
    """Return ``clip`` (any length) as a window of ``samples``: centred in silence, or its loudest
    part, the first of equals."""
    if len(clip) <= samples:
        before = (samples - len(clip)) // 2
        return np.pad(clip, (before, samples - len(clip) - before))
    energy = np.concatenate([[0], np.cumsum(clip.astype(np.int64) ** 2)])
    first = int(np.argmax(energy[samples:] - energy[:-samples]))
    return clip[first : first + samples]


def _decoded(
    source: Source, layout: Layout
) -> tuple[dict[str, NDArray[np.int16]], dict[str, int], int]:
    """Return every file's samples and hash, and the rate they share."""
    clips: dict[str, NDArray[np.int16]] = {}
    hashes: dict[str, int] = {}
    rates: dict[str, int] = {}
    unusable: dict[str, str] = {}
    wanted = frozenset(layout.labels)
    for name, content in track(source.files(wanted), "Reading sounds", total=len(wanted)):
        hashes[name] = content_hash(content)
        try:
            clips[name], rates[name] = read(content)
        except ValueError as error:
            unusable[name] = str(error)
    if unusable:
        raise UserError(
            str(source.path) if len(unusable) > 1 else f"{source.path}/{next(iter(unusable))}",
            f"{len(unusable)} files that cannot be used as sounds"
            if len(unusable) > 1
            else "cannot be used as a sound",
            got="; ".join(f"{name}: {why}" for name, why in list(unusable.items())[:3]),
            expected="complete .wav files with samples",
            action="Repair or remove what is named: " + listing_of(list(unusable)),
        )
    counts = Counter(rates.values())
    usual = counts.most_common(1)[0][0]
    others = [name for name, rate in rates.items() if rate != usual]
    if others:
        raise UserError(
            f"{source.path}/{others[0]}",
            "another sampling rate than the other sounds have",
            got=f"{rates[others[0]]} Hz, {len(others)} of {len(rates)} files",
            expected=f"{usual} Hz",
            action="Resample all files to the rate of the device's microphone",
        )
    return clips, hashes, usual


def read(content: bytes) -> tuple[NDArray[np.int16], int]:
    """Return the samples of a sound file, channels averaged, and its rate in Hz.

    Raises:
        ValueError: no sound file, an empty one, or real numbers that are no shares of full scale.
    """
    import soundfile  # needed for this data set only

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            kind, rate_hz = file.subtype, file.samplerate
            dtype = "float64" if kind in _REAL else "int16"
            samples = file.read(dtype=dtype, always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(getattr(error, "error_string", str(error)).strip()) from error
    missing = _missing_bytes(content)
    if missing:
        raise ValueError(f"{missing} bytes of its samples are missing")
    if not len(samples):
        raise ValueError("no samples")
    if kind in _REAL:
        loudest = np.abs(samples).max()
        if not np.isfinite(loudest) or (kind in ("FLOAT", "DOUBLE") and loudest > _LOUDEST):
            raise ValueError(f"real numbers up to {loudest:g}, of which 1 is full scale")
        samples = np.clip(samples * 2**15, -(2**15), 2**15 - 1)
    return np.rint(samples.mean(axis=1)).astype(np.int16), int(rate_hz)


def _missing_bytes(content: bytes) -> int:
    """Return how many bytes of samples a .wav file says that it has and has not."""
    at = 12
    while content[:4] == b"RIFF" and at + 8 <= len(content):
        tag, size = struct.unpack_from("<4sI", content, at)
        at += 8 + size + size % 2
        if tag == b"data":  # programs that write into a pipe do not know the size
            return 0 if size >= _UNKNOWN_SIZE else max(at - size % 2 - len(content), 0)
    return 0


def _listed_split(
    path: Path, listed: str, content: bytes, names: tuple[str, ...]
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Return which files a list of <class>/<sound> names as test data, and what to say of it.

    Raises:
        UserError: none of them, or all.
    """
    lines = set(content.decode("utf-8-sig", "replace").split())
    is_test = {name: "/".join(PurePosixPath(name).parts[-2:]) in lines for name in names}
    count = sum(is_test.values())
    if not 0 < count < len(names):
        raise UserError(
            f"{path}/{listed}",
            "does not tell test sounds from training sounds",
            got=f"{count} of {len(names)} sounds",
            expected="some of them, as <class>/<sound> a line",
            action="Correct or remove the file",
        )
    return is_test, (f"test sounds are the {count} of {len(names)} that {listed} names",)


def _split(
    path: Path, where: str, what: Sound, layout: Layout, hashes: dict[str, int], test_share: float
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Return which files are test data, and what to say of it."""
    names = tuple(layout.labels)
    groups = groups_of(what.group_of_file, names, where) if what.group_of_file else {}
    if layout.splits is not None:
        refuse_share(test_share, "the data has test sounds of its own, in test/")
        is_test = {name: layout.splits[name] == "test" for name in names}
        both = {groups[n] for n in groups if is_test[n]} & {
            groups[n] for n in groups if not is_test[n]
        }
        said = f"groups in train/ and in test/: {listing_of(sorted(both))}; what is reached says "
        return is_test, (said + "nothing of new ones",) if both else ()
    if groups:
        mask, told = test_mask(
            np.array([groups[name] for name in names]), what.test_groups, test_share, where
        )
        is_test = dict(zip(names, mask.tolist(), strict=True))
        absent = set(layout.labels.values()) - {layout.labels[n] for n in names if not is_test[n]}
        if absent:
            raise UserError(
                where,
                "classes without training sounds",
                got=listing_of([layout.class_names[label] for label in sorted(absent)]),
                expected="sounds of every class in the training groups",
                action="Choose other test_groups",
            )
        return is_test, (told,)
    single = [n for n, count in Counter(layout.labels.values()).items() if count == 1]
    if single:
        raise UserError(
            str(path),
            "too few sounds to draw test sounds from",
            got=f"one sound of {listing_of([layout.class_names[label] for label in single])}",
            expected="at least two of every class",
            action="Add sounds, or sort them into train/ and test/",
        )
    share = test_share or SHARE
    drawn = draw(hashes, layout.labels, share)
    count = list(drawn.values()).count("test")
    return {name: drawn[name] == "test" for name in names}, (
        f"no train/ and test/: {count} of {len(names)} sounds are test sounds, those in the lowest "
        f"{share:.0%} by the hash of their files: the same ones every time",
    )
