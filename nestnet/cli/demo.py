"""``make demo``: the main job from data to emulated boards, ending with one table.

Trains the default 4-level network on scikit-learn's digits, builds it for an STM32F7, runs the test
set at every level on emulated Cortex-M4 and M7, and writes build/demo/report.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codegen import flow
from codegen.errors import EXIT_CODE, UserError
from nestnet import runs
from nestnet.cli import tables
from nestnet.cli.device_images import DeviceImages, device_images
from nestnet.config import TrainConfig
from nestnet.training.train import train

FOLDER = Path("build/demo")
BUILT_BOARD = "stm32f7"
RUN_BOARDS = ("qemu_m4", "qemu_m7")
TEST_IMAGES = 360


def demo(folder: Path = FOLDER) -> dict[str, Any]:
    """Run the main job below ``folder``; return the content of its report.json.

    What an earlier demo left there is replaced.

    Raises:
        UserError: a tool is missing or a step failed.
    """
    console = tables.console()
    begin = time.perf_counter()
    _remove(folder)
    console.rule("1. Train one network with four nested sparsities", align="left")
    run = train(TrainConfig(name="demo"), folder / "runs")
    model = run / runs.MODEL

    console.rule(f"2. Generate C and build it for {BUILT_BOARD}", align="left")
    built = flow.build(flow.codegen(model, BUILT_BOARD, folder / BUILT_BOARD))
    heading = f"{built.board.title}: {built.board.status}"
    console.print(tables.sizes(heading, asdict(built.sizes)))
    console.print(f"{built.firmware_elf}\n")

    console.rule("3. Run the test images at every level on the emulated cores", align="left")
    data = device_images(model, TEST_IMAGES)
    boards = {board: _run(model, board, data, folder) for board in RUN_BOARDS}
    report = {
        "boards": boards,
        "built": {BUILT_BOARD: {"elf": str(built.firmware_elf), **asdict(built.sizes)}},
        "dataset": data.data,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    partial = folder / "report.json.partial"
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / "report.json")
    title = f"{data.title}, {report['seconds']} s"
    console.print(tables.device_levels(title, boards))
    return report


def _run(model: Path, board: str, data: DeviceImages, folder: Path) -> dict[str, Any]:
    with tables.working(f"{data.count} images on {board}"):
        result = flow.run(model, board, data.inputs, data.targets, out=folder / board)
    for difference in result.differences:
        print(f"{board}: not bit-exact: {difference}", file=sys.stderr)
    return result.as_json()


def _remove(folder: Path) -> None:
    """Remove what an earlier demo made, and nothing else."""
    for name in ("runs", BUILT_BOARD, *RUN_BOARDS):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "report.json").unlink(missing_ok=True)


def main() -> None:
    """Run the demo; exit code 1 if a board's bits differ from the reference, 2 for an error."""
    try:
        report = demo()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CODE)
    exact = all(
        level["bit_exact"] for board in report["boards"].values() for level in board["levels"]
    )
    sys.exit(0 if exact else 1)


if __name__ == "__main__":
    main()
