"""Fuzz what becomes of a user's module: traced, nested, quantized, exported, compiled, run.

Usage: python -m tests.fuzz.models --seconds 600 [--seed 1000]
       python -m tests.fuzz.models --replay build/fuzz-models/1234.py

Every module is random (model_source.py) and must hold what model_check.py says. A failure is cut
down as far as it stays the same failure and written to build/fuzz-models/, where it can be read,
edited and replayed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from codegen.errors import UserError
from tests.fuzz.model_check import Broken, check_bits, check_model
from tests.fuzz.model_source import ModelCase, make_case

FOUND = Path("build/fuzz-models")
HEAD = "# case: "
EMULATED_EVERY = 10
"""Modules for each one that also runs on the emulated cores."""
SHOWN = 3
"""Failures of one kind that are cut down and written; the rest are counted."""
WITH = "with "
"""What a count of modules begins with that have an operator of the integer graph."""
DIGITS = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")

Failure = tuple[str, str]
"""What kind of failure it is, which stays the same while a module is cut down; all of its text."""


def failure(case: ModelCase, boards: tuple[str, ...], count: Counter[str]) -> Failure | None:
    """Check a case and count what came of it; None where it holds."""
    with tempfile.TemporaryDirectory(prefix="fuzz-models-") as name:
        try:
            checked = check_model(case, Path(name))
            for board_id in boards:
                check_bits(checked, board_id, Path(name))
        except Broken as error:
            return DIGITS.sub("N", str(error))[:60], str(error)
        except UserError as error:
            return f"refused: {error.what}", f"refused: {error}"
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.name}"
            return place, traceback.format_exc()
    count[f"dense: {checked.refusal}" if checked.refusal else "nested"] += 1
    count.update({f"{WITH}{type(op).__name__}" for op in checked.graph.ops})
    return None


def cut_down(case: ModelCase, same: Callable[[ModelCase], bool]) -> ModelCase:
    """Return the case with every line of ``forward`` left out that ``same`` does not need."""
    dense = replace(case, sparsity=(0.0,))
    if dense != case and same(dense):
        case = dense
    lines = case.source.splitlines()
    for index in reversed(range(len(lines))):
        match = re.fullmatch(r"(\s+)(x\d+) = (.*)", lines[index])
        if match is None:
            continue
        for read in dict.fromkeys(re.findall(r"\bx\d*\b", match[3])):
            trial = [*lines[:index], f"{match[1]}{match[2]} = {read}", *lines[index + 1 :]]
            shorter = replace(case, source=tidy("\n".join(trial) + "\n"))
            if trial[index] != lines[index] and same(shorter):
                case, lines = shorter, trial
                break
    return case


def tidy(source: str) -> str:
    """Return ``source`` without renamed variables and layers that nothing calls."""
    while rename := re.search(r"^        (x\d+) = (x\d*)\n", source, re.MULTILINE):
        source = source[: rename.start()] + source[rename.end() :]
        source = re.sub(rf"\b{rename[1]}\b", rename[2], source)
    for name in re.findall(r"^        self\.(\w+) = ", source, re.MULTILINE):
        if len(re.findall(rf"\bself\.{name}\b", source)) == 1:
            source = re.sub(rf"^        self\.{name} = .*\n", "", source, flags=re.MULTILINE)
    return source


def file_text(case: ModelCase, what: str) -> str:
    """Return a file that :func:`read_file` reads: the failure, the facts, the module."""
    facts = {key: value for key, value in asdict(case).items() if key != "source"}
    said = "".join(f"# {line}\n" for line in what.strip().splitlines())
    return f"{said}{HEAD}{json.dumps(facts)}\n{case.source}"


def read_file(text: str) -> ModelCase:
    """Return the case that :func:`file_text` wrote."""
    head = re.search(rf"^{HEAD}(.*)\n", text, re.MULTILINE)
    if head is None:
        raise UserError(
            "--replay", "not a module that fuzzing wrote", got="no case", expected=HEAD
        )  # fmt: skip
    facts = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(head[1]).items()}
    return ModelCase(source=text[head.end() :], **facts)


def boards_of(case: ModelCase) -> tuple[str, ...]:
    """Return where a case's bits are compared: all on this computer, some on emulated cores."""
    return ("host", "qemu_m4", "qemu_m7") if case.seed % EMULATED_EVERY == 0 else ("host",)


def fuzz(seed: int, seconds: float) -> int:
    """Check modules from ``seed`` on until the time is over; return how many failed."""
    end = time.monotonic() + seconds
    count: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    first = seed
    while time.monotonic() < end:
        case = make_case(seed)
        seed += 1
        found = failure(case, boards_of(case), count)
        if found is not None:
            kind, what = found
            kinds[kind] += 1
            if kinds[kind] > SHOWN:
                continue
            case = cut_down(case, lambda shorter, k=kind: _kind(shorter) == k)
            FOUND.mkdir(parents=True, exist_ok=True)
            path = FOUND / f"{case.seed}.py"
            path.write_text(file_text(case, what), encoding="utf-8")
            print(f"{path}\n{file_text(case, what)}", flush=True)
    print(f"{seed - first} modules, seeds {first} to {seed - 1}")
    for text, times in (*count.most_common(), *kinds.most_common()):
        print(f"{times:6} {text}")
    return sum(kinds.values())


def _kind(case: ModelCase) -> str | None:
    found = failure(case, boards_of(case), Counter())
    return None if found is None else found[0]


def main() -> int:
    """Fuzz or replay; return 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long to run")
    parser.add_argument("--seed", type=int, default=None, help="of the first module")
    parser.add_argument("--replay", type=Path, help="a file of build/fuzz-models/")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.replay:
        case = read_file(options.replay.read_text(encoding="utf-8"))
        found = failure(case, ("host", "qemu_m4", "qemu_m7"), Counter())
        print("holds" if found is None else found[1])
        return 0 if found is None else 1
    seed = int(time.time()) if options.seed is None else options.seed
    return 1 if fuzz(seed, options.seconds) else 0


if __name__ == "__main__":
    sys.exit(main())
