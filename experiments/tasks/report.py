"""The page of the experiment, and what its figures are held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.common.markdown import spaced, table
from experiments.tasks.data import SPEAKERS
from experiments.tasks.trainings import NESTED, TRAININGS, Training

ON_CORE = 50
"""Test inputs that run on the emulated Cortex-M4."""
PRICED = 5
"""Test inputs whose cycles are estimated: answers take longer where there is more to say."""
BOARDS = ("stm32f7", "stm32f4", "stm32l4")


def score(name: str, level: Mapping[str, Any]) -> float:
    """Return what the table shows and bars are of."""
    kind, details = name.partition("-")[0], level["details"]
    if kind == "beats":
        return float(np.mean([_f1(details["confusion"], label) for label in range(3)]))
    if kind == "cells":
        return float(details["rows"][0]["dice"])
    return float(level["int8"])


def _f1(confusion: Any, label: int) -> float:
    """Return the F1 score of a class."""
    counts = np.asarray(confusion)
    return float(2 * counts[label, label] / max(1, counts[label].sum() + counts[:, label].sum()))


METRICS = {
    "activity": "accuracy",
    "words": "accuracy",
    "beats": "mean F1 of N, S, V",
    "cells": "Dice of the membranes",
    "defects": "mAP50",
}
_OF_DETAILS = ("beats", "cells")
"""Whose metric is not the score that a training shows in float."""
_HEADS = ("data", "network", "metric", "sparsity", "float %", "int8 %", "instructions",
          "F7 cycles", "F4 cycles", "L4 cycles", "F7 answer", "F7 flash", "F4", "L4", "F7 RAM",
          "F4", "L4", "bit-exact")  # fmt: skip


def page(findings: Mapping[str, Any]) -> str:
    """Return the tables."""
    rows = [
        line
        for training in TRAININGS
        if training.name in findings["rows"]
        for line in _lines(training, findings["rows"][training.name])
    ]
    first = next(iter(findings["rows"].values()))
    boards = "; ".join(
        f"{name[5:].upper()}: {board['title']}" for name, board in first["boards"].items()
    )
    settings = "; ".join(_told(training) for training in TRAININGS)
    ear = findings["heard"]
    return f"""# Every task, as deployed

{table(_HEADS, rows)}

One seed and short trainings. Float: before the quantization-aware epochs, as training measures it
(of beats and membranes it measures something else);
int8: the integer reference on all test data, which are the bits of C on the host for all of them
and those of the emulated Cortex-M4 for {ON_CORE}. Boxes are those of the detector's decoder, from
a score of 1 % on. Instructions: executed on the emulated Cortex-M4, a mean over {ON_CORE} inputs,
without the answer (boxes, masks). Cycles are estimated, the lower end of the range where a board's
memory was not validated, for {boards};
"answer" is what the task's C takes beside them, a mean over {PRICED} inputs. Flash and RAM, in
bytes, are those of the linked example. Beats are where the data set's annotations say, and the
rhythm of a beat is its two intervals by the median of the twenty around it: a device has to find
beats itself, and waits for ten more.

Precision over stricter overlaps, mAP50-95 in int8: {_stricter(findings)}.

{_knob(findings)}

{_speakers(findings)}

Of {ear["recordings"]} recordings C makes the features and the int8 input that training had, on
the host and on the emulated Cortex-M4: {"yes" if ear["exact"] else "no"}. There a frame takes
{spaced(ear["frame"])} instructions at most, a window of 49 x 10 {spaced(ear["window"])}.

Settings, others by default: {settings}.
"""


def _lines(training: Training, found: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield a training's rows of the table."""
    name = training.name
    kind = name.partition("-")[0]
    boards = [found["boards"].get(board) for board in BOARDS]
    answer = found["boards"][BOARDS[0]]["answer_cycles"]
    memory = [
        spaced(board[key]) if board else "too large"
        for key in ("flash_bytes", "ram_bytes")
        for board in boards
    ]
    for index, level in enumerate(found["levels"]):
        begins = not index
        yield [
            training.title if begins else "",
            found["model"] if begins else "",
            METRICS[kind] if begins else "",
            _percent(level["sparsity"]),
            "" if kind in _OF_DETAILS else f"{100 * level['float']:.1f}",
            f"{100 * score(name, level):.1f}",
            spaced(level["instructions"]),
            *(spaced(board["cycles"][index]) if board else "-" for board in boards),
            spaced(answer[index]),
            *(memory if begins else [""] * len(memory)),
            "yes" if level["bit_exact"] else "no",
        ]


def _stricter(findings: Mapping[str, Any]) -> str:
    """Return the detectors' precision over overlaps of 0.5 to 0.95."""
    told = []
    for training in TRAININGS:
        if training.data == "defects":
            levels = findings["rows"][training.name]["levels"]
            values = " / ".join(f"{100 * level['details']['map50_95']:.1f}" for level in levels)
            told.append(f"{training.name} {values}")
    return ", ".join(told)


def _knob(findings: Mapping[str, Any]) -> str:
    """Return what the levels of the detector cost and reach beside the dense one."""
    rows = findings["rows"]
    spans = {board: _cycles(rows["defects"], board) for board in BOARDS}
    knob = ", ".join(f"{span[-1] / span[0]:.2f} on {board}" for board, span in spans.items())
    dense = _cycles(rows["defects-dense"], BOARDS[0])[-1]
    gains = ", ".join(
        f"{dense / cycles:.2f} at {_percent(level['sparsity'])}"
        for cycles, level in zip(spans[BOARDS[0]], rows["defects"]["levels"], strict=True)
    )
    return (
        "The detector's knob, boxes and their suppression counted: from its densest to its "
        f"sparsest level {knob} times fewer cycles. The dense detector takes on {BOARDS[0]} "
        f"so many times the cycles of the levels: {gains}."
    )


def _cycles(row: Mapping[str, Any], board: str) -> list[int]:
    """Return the cycles of each level, with its answer."""
    costs = row["boards"][board]
    return [a + b for a, b in zip(costs["cycles"], costs["answer_cycles"], strict=True)]


def _speakers(findings: Mapping[str, Any]) -> str:
    """Return the mean over the speakers that were held out."""
    means = [f"{_percent(s)}: {100 * m:.1f} %" for s, m in _held_out(findings)]
    return f"Words of speakers who were held out, the mean of the six: {', '.join(means)}."


def _held_out(findings: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return sparsity and mean accuracy of each level."""
    found = [findings["rows"][f"words-{speaker}"]["levels"] for speaker in SPEAKERS]
    return [
        (levels[0]["sparsity"], float(np.mean([level["int8"] for level in levels])))
        for levels in zip(*found, strict=True)
    ]


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _told(training: Training) -> str:
    """Return a training's settings."""
    after = [f"init from {training.after}"] if training.after else []
    told = [f"{key} {value}" for key, value in training.settings.items()]
    return f"{training.name}: {', '.join(told + after)}"


LEAST = {
    "activity": 0.92, "words": 0.95, "beats": 0.57, "cells-dense": 0.78, "defects-dense": 0.54,
}  # fmt: skip
"""Least score of every level."""
LEAST_STRICT = 0.22
"""Least precision of the dense detector over overlaps of 0.5 to 0.95."""
LEAST_HELD_OUT = 0.70
"""Mean of the densest level over the speakers."""
DROPS = dict(zip(NESTED, (0.12, 0.05, 0.03), strict=True))
"""What a level of the detector may lose to the dense one."""
BEHIND = 0.01
"""What it may lose to its stand-alone twin, and a quantized network to its float one."""
KNOB = 1.4
"""Least factor between the cycles of the detector's densest and sparsest level on the M7."""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return bars that are missed and bits that differ."""
    rows = findings["rows"]
    found = [
        f"{name}, level {index}: {score(name, level):.3f} is below {LEAST[name]}"
        for name in LEAST
        for index, level in enumerate(rows[name]["levels"])
        if score(name, level) < LEAST[name]
    ]
    found += [f"{name}: bits differ" for name, row in rows.items()
              if not all(level["bit_exact"] for level in row["levels"])]  # fmt: skip
    mean = _held_out(findings)[-1][1]
    if mean < LEAST_HELD_OUT:
        found.append(f"speakers held out: {mean:.3f} is below {LEAST_HELD_OUT}")
    return found + _detector(rows) + ([] if findings["heard"]["exact"] else ["C hears otherwise"])


def _detector(rows: Mapping[str, Any]) -> list[str]:
    """Return what the detector misses."""
    dense = rows["defects-dense"]["levels"][-1]
    levels = rows["defects"]["levels"]
    found = []
    if dense["details"]["map50_95"] < LEAST_STRICT:
        found.append(f"defects-dense: mAP50-95 is below {LEAST_STRICT}")
    if dense["float"] - dense["int8"] > BEHIND:
        found.append(f"defects-dense: int8 {dense['int8']:.3f} of {dense['float']:.3f}")
    for share, level in zip(NESTED, levels, strict=True):
        twin = rows[f"defects-{round(100 * share)}"]["levels"][-1]
        if dense["int8"] - level["int8"] > DROPS[share]:
            found.append(f"defects at {share}: {level['int8']:.3f}, dense {dense['int8']:.3f}")
        if twin["int8"] - level["int8"] > BEHIND:
            found.append(f"defects at {share}: {level['int8']:.3f}, its twin {twin['int8']:.3f}")
    cycles = _cycles(rows["defects"], BOARDS[0])
    if cycles[-1] / cycles[0] < KNOB:
        found.append(f"the knob of the detector: {cycles[-1] / cycles[0]:.2f} is below {KNOB}")
    if cycles[-1] >= _cycles(rows["defects-dense"], BOARDS[0])[-1]:
        found.append("the densest level of the detector is no faster than the dense one")
    return found
