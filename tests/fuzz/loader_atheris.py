"""The loader's fuzz target under atheris: libFuzzer with the coverage of Python code.

Usage: python -m tests.fuzz.loader_atheris CORPUS [libFuzzer options]; ``loader.py`` calls it.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections import Counter

import atheris

with atheris.instrument_imports(include=["codegen"]):
    from tests.fuzz.loader_target import Outcome, changed, examine

REPORT_EVERY = 500
outcomes: Counter[Outcome] = Counter()

MAX_LOADED = 300
loaded: list[bytes] = []
"""Inputs that were not refused; most that cover something new are, each in its own way."""


def target(data: bytes) -> None:
    """Try one input; what it raises is a finding."""
    outcome = examine(data)
    outcomes[outcome] += 1
    if outcome is not Outcome.REFUSED:
        loaded.append(data)
        if len(loaded) > MAX_LOADED:
            del loaded[outcomes.total() % MAX_LOADED]
    if outcomes.total() % REPORT_EVERY == 0:
        counts = ", ".join(f"{count} {outcome.value}" for outcome, count in outcomes.items())
        print(f"outcomes: {counts}", flush=True)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change ``data``, or as often something that was loaded; now and then as libFuzzer does."""
    generator = random.Random(seed)
    if generator.random() < 0.05:
        return bytes(atheris.Mutate(data, max_size))
    if loaded and generator.random() < 0.5:
        data = generator.choice(loaded)
    return changed(data, generator, max_size)[:max_size]


if __name__ == "__main__":
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, target, custom_mutator=mutate)
    atheris.Fuzz()
