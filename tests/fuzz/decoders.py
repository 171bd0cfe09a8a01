"""Fuzz the decoders of coded streams with libFuzzer.

Usage: python -m tests.fuzz.decoders --seconds 600 [--keep]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIRMWARE = ROOT / "firmware"
CORPUS = HERE / "corpus.hex"
"""Inputs to start from, one a line; fuzz_decoders.c says what they mean."""

SOURCES = tuple(f"codecs/nn_{name}.c" for name in ("decode", "deltas", "lz4"))
FLAGS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
MAX_BYTES = 1024
MAX_CORPUS_BYTES = 50_000
"""Of the committed file."""


@dataclass(frozen=True)
class Fuzzed:
    """What a run of the fuzzer came to."""

    exit_code: int
    log: str

    @property
    def executions(self) -> int:
        """Return how many inputs were tried."""
        found = re.search(r"stat::number_of_executed_units:\s+(\d+)", self.log)
        return int(found[1]) if found else 0

    @property
    def coverage(self) -> tuple[int, int]:
        """Return the covered edges and features that libFuzzer reported last."""
        found = re.findall(r"cov: (\d+) ft: (\d+)", self.log)
        return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)


def build(folder: Path, firmware: Path = FIRMWARE) -> Path:
    """Compile the target with the decoders of ``firmware`` in ``folder``; return the program."""
    files = [HERE / "fuzz_decoders.c", *(firmware / name for name in SOURCES)]
    command = ["clang", *FLAGS, *SANITIZERS, f"-I{firmware}", *map(str, files)]
    subprocess.run([*command, "-o", str(folder / "fuzz_decoders")], check=True)
    return folder / "fuzz_decoders"


def write_corpus(folder: Path) -> Path:
    """Write the committed inputs as files; return their folder."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, line in enumerate(CORPUS.read_text(encoding="ascii").split()):
        (corpus / f"{index:04}").write_bytes(bytes.fromhex(line))
    return corpus


def fuzz(program: Path, corpus: Path, seconds: int, arguments: Sequence[str] = ()) -> Fuzzed:
    """Run the target for ``seconds``, one process, a fixed seed; findings go beside ``corpus``."""
    command = [str(program), f"-max_total_time={seconds}", "-print_final_stats=1", "-seed=1"]
    command += [f"-max_len={MAX_BYTES}", f"-artifact_prefix={corpus.parent}/", *arguments]
    done = subprocess.run([*command, str(corpus)], capture_output=True, text=True, check=False)
    return Fuzzed(done.returncode, done.stderr)


def keep_smallest(program: Path, corpus: Path) -> int:
    """Rewrite the committed inputs with the smallest set that covers as much; return its size."""
    kept = corpus.parent / "kept"
    kept.mkdir()
    subprocess.run([str(program), "-merge=1", str(kept), str(corpus)], check=True)
    inputs = sorted(
        (path.read_bytes() for path in kept.iterdir()), key=lambda data: (len(data), data)
    )
    text = ""
    for data in inputs:
        line = data.hex() + "\n"
        if len(text) + len(line) <= MAX_CORPUS_BYTES:
            text += line
    CORPUS.write_text(text, encoding="ascii")
    return len(inputs)


def main() -> int:
    """Fuzz and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True, help="how long to run")
    parser.add_argument("--keep", action="store_true", help="rewrite the committed corpus")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        program = build(Path(name))
        corpus = write_corpus(Path(name))
        result = fuzz(program, corpus, options.seconds)
        if result.exit_code:
            print(result.log[-4000:], file=sys.stderr)
            for path in Path(name).glob("*-*"):
                print(f"{path.name}: {path.read_bytes().hex()}", file=sys.stderr)
            return 1
        edges, features = result.coverage
        print(f"{result.executions} executions, {edges} edges, {features} features, no finding")
        if options.keep:
            print(f"{keep_smallest(program, corpus)} inputs, {CORPUS.stat().st_size} bytes kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
