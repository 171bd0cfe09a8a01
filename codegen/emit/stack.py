"""How much stack an inference needs: a measured bound for each kernel, in any optimized build."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.program.program import Program
from codegen.tasks import Task

FRAME_BYTES: Mapping[str, tuple[int, int]] = {
    "add": (80, 112),
    "avg_pool": (224, 384),
    "cmsis_conv": (320, 320),
    "cmsis_depthwise_conv": (320, 320),
    "cmsis_linear": (320, 320),
    "bilinear": (128, 144),
    "cmsis_max_pool": (320, 320),
    "concat": (96, 96),
    "dense_conv": (512, 1280),
    "dense_linear": (192, 448),
    "depthwise_conv": (448, 448),
    "grouped_conv": (320, 448),
    "lookup": (64, 144),
    "matmul": (320, 448),
    "max_pool": (176, 320),
    "mul": (80, 112),
    "nested_conv": (512, 640),
    "nested_linear": (320, 384),
    "pad": (112, 176),
    "rearrange": (96, 352),
    "normalize": (128, 272),
    "softmax": (64, 96),
}
"""Stack of a layer's function with DSP and with portable kernels.

About a quarter above the most that gcc 12 and clang 14 took for the networks of
experiments/compilers/page.md and the shipped models at -O1, -O2, -O3 and -Os, gcc also at -Og and
-O0 (see firmware/core/nn_optimize.h). tests/e2e/compilers.py compares it with every build. Kernels
that those networks lack: the most that -fstack-usage says of the networks of test_equality.py and
of one whose runs are words.
"""

PATH_BYTES = 160
"""Of nn_run, the model's run function and the saved registers between them."""

DECODE_BYTES = 320
"""From a layer's decode function down."""

BESIDE_BYTES = 768
"""Of what a program calls before and after a run, firmware/sources/ and firmware/tasks/: more than
all functions of a file together (tests/firmware/test_small_cores.py)."""

AROUND_BYTES = 256
"""Of a function of firmware/tasks/ that itself runs the network, likewise."""

STREAM_BYTES = 8
"""A level's two pointers, which a layer with coded streams keeps on the stack."""


def most_bytes(packed: Program, task: Task | None) -> int:
    """Return the stack that nn_run and what a program calls before and after it take at most.

    Args:
        packed: the network.
        task: with C of its own, or None.
    """
    around = AROUND_BYTES if task is not None and task.runs_network else 0
    is_alone = task is None and not any(value.source for value in packed.graph.values)
    return max(bound_bytes(packed) + around, 0 if is_alone else BESIDE_BYTES)


def bound_bytes(packed: Program) -> int:
    """Return the stack nn_run takes at most, a profile hook's and a foreign library's excluded."""
    column = 0 if packed.target.board.core.has_dsp else 1
    deepest = max(
        (
            FRAME_BYTES[layer.kernel][column]
            + (STREAM_BYTES * len(packed.levels) if layer.decoded else 0)
            for layer in packed.layers
        ),
        default=0,
    )
    return PATH_BYTES + max(deepest, DECODE_BYTES if packed.has_coded_streams else 0)
