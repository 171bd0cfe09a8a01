"""Fuzz the loader of .nestnet files and all that a loaded graph goes through.

Usage: python -m tests.fuzz.loader --seconds 600 [--keep]

Coverage guides the fuzzing if atheris is installed (pip install atheris); otherwise inputs that got
further than being refused are changed again.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from tests.fuzz.loader_target import MAX_BYTES, Outcome, changed, examine, seeds

HERE = Path(__file__).parent
CORPUS = HERE / "loader_corpus.txt"
"""Inputs to start from beside those of ``seeds``: one a line, zlib, base64."""

MAX_CORPUS_BYTES = 40_000
SLOW_SECONDS = 20
"""An input that takes longer is a finding."""

KEPT_SHARE = 0.1
"""Of changed inputs that were loaded, those that are changed further without coverage."""


@dataclass
class Found:
    """What a run came to."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failures: dict[str, bytes] = field(default_factory=dict)
    """An input for each distinct place that raised what it should not have."""

    @property
    def executions(self) -> int:
        """Return how many inputs were tried."""
        return sum(self.outcomes.values()) + len(self.failures)


def read_corpus() -> list[bytes]:
    """Return the committed inputs."""
    lines = CORPUS.read_text(encoding="ascii").split()
    return [zlib.decompress(base64.b64decode(line)) for line in lines]


def write_corpus(inputs: list[bytes]) -> int:
    """Rewrite the committed inputs, shortest first, as far as they fit; return how many did."""
    text = ""
    count = 0
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        line = base64.b64encode(zlib.compress(data, 9)).decode("ascii") + "\n"
        if len(text) + len(line) <= MAX_CORPUS_BYTES:
            text += line
            count += 1
    CORPUS.write_text(text, encoding="ascii")
    return count


def try_one(data: bytes, found: Found) -> Outcome | None:
    """Count what ``data`` comes to; None for a finding."""
    begin = time.monotonic()
    try:
        outcome = examine(data)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        found.failures.setdefault(f"{place}: {error}"[:300], data)
        return None
    if time.monotonic() - begin > SLOW_SECONDS:
        found.failures.setdefault(f"slow: {outcome.value}", data)
        return None
    found.outcomes[outcome] += 1
    return outcome


def fuzz_by_outcome(seed: int, seconds: float = inf, executions: float = inf) -> Found:
    """Change inputs at random until either limit; what loads is changed again."""
    generator = random.Random(seed)
    found = Found()
    end = time.monotonic() + seconds
    inputs = seeds() + read_corpus()
    pool = [data for data in inputs if try_one(data, found) not in (None, Outcome.REFUSED)]
    while time.monotonic() < end and found.executions < executions:
        data = changed(generator.choice(pool), generator)
        outcome = try_one(data, found)
        if outcome not in (None, Outcome.REFUSED) and generator.random() < KEPT_SHARE:
            pool.append(data)
    return found


def fuzz_by_coverage(seconds: int, keep: bool) -> int:
    """Run atheris in a process of its own; return its exit code."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        corpus = Path(name) / "corpus"
        corpus.mkdir()
        for index, data in enumerate(seeds() + read_corpus()):
            (corpus / f"{index:04}").write_bytes(data)
        command = [sys.executable, "-m", "tests.fuzz.loader_atheris", str(corpus)]
        command += [f"-max_total_time={seconds}", "-print_final_stats=1", "-seed=1"]
        command += [f"-max_len={MAX_BYTES}", f"-timeout={SLOW_SECONDS}", "-rss_limit_mb=2048"]
        command += [f"-artifact_prefix={name}/"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        log = done.stdout + done.stderr
        if done.returncode:
            print(log[-6000:], file=sys.stderr)
            for path in Path(name).glob("*-*"):
                print(path.name, base64.b64encode(path.read_bytes()).decode(), file=sys.stderr)
            return done.returncode
        units = re.search(r"stat::number_of_executed_units:\s+(\d+)", log)
        cover = re.findall(r"cov: (\d+) ft: (\d+)", log)[-1:]
        peak = re.search(r"stat::peak_rss_mb:\s+(\d+)", log)
        print(f"{units and units[1]} executions, edges and features {cover}, ", end="")
        print(f"peak {peak and peak[1]} MB, no finding")
        print("".join(re.findall(r"^outcomes: .*$", log, re.M)[-1:]))
        if keep:
            inputs = [path.read_bytes() for path in corpus.iterdir()]
            print(f"{write_corpus(inputs)} of {len(inputs)} inputs kept")
    return 0


def main() -> int:
    """Fuzz and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True, help="how long to run")
    parser.add_argument("--seed", type=int, default=1, help="of the changes, without atheris")
    parser.add_argument("--keep", action="store_true", help="rewrite the corpus, with atheris")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is not None:
        return fuzz_by_coverage(options.seconds, options.keep)
    print("atheris is not installed: fuzzing without coverage")
    found = fuzz_by_outcome(options.seed, options.seconds)
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in found.outcomes.items())
    print(f"{found.executions} executions: {counts}; {len(found.failures)} findings")
    for place, data in found.failures.items():
        print(place, base64.b64encode(data).decode(), file=sys.stderr)
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
