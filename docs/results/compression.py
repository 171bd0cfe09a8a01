"""Measure how far sparse weights compress, by sparsity, size of the zero groups and codec.

    python docs/results/compression.py --date 2026-01-31

Writes compression.md beside itself. Everything is computed: no training, no emulator.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from codegen.formats import storage as sizing
from codegen.formats.codecs import lz4
from codegen.graph.ir import NEVER, Int8Array, Uint8Array

PAGE = Path(__file__).resolve().parent / "compression.md"
SEED = 0
OUT_C, IN_C = 512, 2048
"""1 Mi weights, as one 1x1 layer."""
SPARSITIES = (0.7, 0.8, 0.9)
ZERO_GROUPS = (1, 4, 8, 16, 32)
"""Consecutive weights that are pruned together."""


def layer(zero_group: int, sparsity: float, group_size: int) -> tuple[Int8Array, Uint8Array]:
    """Return Laplacian int8 weights with aligned groups of zeros, and their group levels."""
    random = np.random.default_rng(SEED)
    scale = random.laplace(size=(OUT_C, IN_C))
    weight = np.clip(np.rint(scale * 127 / np.abs(scale).max(axis=1, keepdims=True)), -127, 127)
    kept = np.repeat(random.random((OUT_C, IN_C // zero_group)) >= sparsity, zero_group, axis=1)
    alive = kept.reshape(OUT_C, -1, group_size).any(axis=2)
    level = np.where(alive, 0, NEVER).astype(np.uint8)
    shape = (OUT_C, 1, 1, -1)
    return (weight * kept).astype(np.int8).reshape(shape), level.reshape(shape)


def ratio(zero_group: int, sparsity: float, storage: str) -> float:
    """Return the dense int8 bytes over what is stored."""
    group_size = min(zero_group, 4)
    weight, level = layer(zero_group, sparsity, group_size)
    if storage == "dense, lz4":
        return weight.size / len(lz4.encode(weight.tobytes()))
    if storage == "nested, raw":
        return weight.size / sizing.layer_bytes(weight, group_size, level, 1, "raw").stored_bytes
    codecs = "lz4" if storage == "smallest, lz4" else "all"
    return weight.size / sizing.layer_bytes(weight, group_size, level, 1, codecs).stored_bytes


STORAGES = ("dense, lz4", "nested, raw", "smallest, lz4", "smallest, all")


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--date", required=True)
    options = parser.parse_args()
    heads = " | ".join(f"group {group}" for group in ZERO_GROUPS)
    lines = [
        f"| sparsity | storage | {heads} | ideal |",
        f"|---|---|{'---|' * (len(ZERO_GROUPS) + 1)}",
    ]
    for sparsity in SPARSITIES:
        for storage in STORAGES:
            cells = [f"{ratio(group, sparsity, storage):.2f}" for group in ZERO_GROUPS]
            ideal = f"{1 / (1 - sparsity):.2f}"
            lines.append(f"| {100 * sparsity:.0f} % | {storage} | {' | '.join(cells)} | {ideal} |")
    table = "\n".join(lines)
    PAGE.write_text(
        f"""# How far sparse weights compress

Dense int8 bytes over stored bytes of {OUT_C * IN_C:,} Laplacian int8 weights (one 1x1 layer of
{IN_C} to {OUT_C} channels, seed {SEED}), of which aligned groups of consecutive weights are zero at
random. Execution groups of 4, or of 1 where single weights are pruned; one level. LZ4 block format,
high compression, level 12. Computed, {options.date}.

{table}

"Dense, lz4": the weights with their zeros as one LZ4 block, which kernels could only use dense.
"Nested, raw": the execution format. "Smallest": what `--optimize size` stores with these codecs,
and what the nested kernels walk after decoding its positions. "Ideal": one byte per kept weight,
no positions; LZ4 and deltas cannot beat it, a code for the values could.
Written by `docs/results/compression.py`.
"""
    )
    print(table)


if __name__ == "__main__":
    main()
