"""What is trained, on which data, and what it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.tasks.data import SPEAKERS

NESTED = (0.9, 0.8, 0.7)


@dataclass(frozen=True)
class Training:
    """One run."""

    name: str
    data: str
    """Which place of :mod:`experiments.tasks.data`."""
    title: str
    """Of its first row in the table; empty: as the row above."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    after: str = ""
    """The run whose weights it starts from."""


_DEFECTS = {
    "dataset": "voc",
    "resize": (160, 160),
    "model": "det_mobilenetv1",
    "augment": "flips",
}
_CELLS = {"dataset": "masks", "model": "unet_small", "augment": "flips", "batch": 16}

TRAININGS = (
    Training(
        "activity",
        "activity",
        "HAPT, 6 activities, windows of 128 x 6 at 50 Hz, 9 test users",
        {"dataset": "windows", "epochs": 20, "sparsity": (0.9, 0.8, 0.7, 0.5)},
    ),
    Training(
        "beats",
        "beats",
        "MIT-BIH, N S V F, 128 samples at 120 Hz and the rhythm, DS1 / DS2",
        {"dataset": "arrays", "epochs": 16, "augment": "jitter", "sparsity": NESTED},
    ),
    Training(
        "words",
        "words",
        "FSDD, 10 digits, MFCC of a second at 8 kHz, official split",
        {"dataset": "wav", "epochs": 16, "sparsity": NESTED},
    ),
    *(
        Training(
            f"words-{speaker}",
            f"words-{speaker}",
            f"FSDD, {speaker} held out",
            {"dataset": "wav", "epochs": 12, "sparsity": (0.0,)},
        )
        for speaker in SPEAKERS
    ),
    Training(
        "cells-dense",
        "cells",
        "ISBI 2012, membranes, tiles of 128x128, sections 24..29 tested",
        {**_CELLS, "epochs": 16, "sparsity": (0.0,)},
    ),
    Training(
        "cells", "cells", "the same, nested", {**_CELLS, "epochs": 12, "sparsity": NESTED},
        after="cells-dense",
    ),
    Training(
        "defects-dense",
        "defects",
        "NEU-DET, 6 defects of steel, 160x160 grey, 360 test images",
        {**_DEFECTS, "epochs": 40, "sparsity": (0.0,)},
    ),
    Training(
        "defects",
        "defects",
        "the same, nested",
        {**_DEFECTS, "epochs": 30, "sparsity": NESTED},
        after="defects-dense",
    ),
    Training(
        "defects-singles",
        "defects",
        "the same, single weights pruned",
        {**_DEFECTS, "epochs": 30, "sparsity": NESTED, "group": "1x1"},
        after="defects-dense",
    ),
    *(
        Training(
            f"defects-{share:.0%}".replace("%", ""),
            "defects",
            f"stand-alone twin of {share:.0%}".replace("%", " %"),
            {**_DEFECTS, "epochs": 30, "sparsity": (share,)},
            after="defects-dense",
        )
        for share in NESTED
    ),
)  # fmt: skip
