"""Measure how far sparse weights compress, by sparsity, size of the zero groups and codec.

Everything is computed: no training, no emulator.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from codegen.formats import storage as sizing
from codegen.formats.codecs import lz4
from codegen.graph.ir import NEVER, Int8Array, Uint8Array
from experiments.common.markdown import table

COST = "seconds"
TOOLS = ()
SEEDS = (0,)
OUT_C, IN_C = 512, 2048
"""1 Mi weights, as one 1x1 layer."""
SPARSITIES = (0.7, 0.8, 0.9)
ZERO_GROUPS = (1, 4, 8, 16, 32)
"""Consecutive weights that are pruned together."""


def layer(zero_group: int, sparsity: float, group_size: int) -> tuple[Int8Array, Uint8Array]:
    """Return Laplacian int8 weights with aligned groups of zeros, and their group levels."""
    random = np.random.default_rng(SEEDS[0])
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


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the ratios of every sparsity and storage, one for each size of zero groups."""
    yield {
        "weights": OUT_C * IN_C,
        "zero_groups": ZERO_GROUPS,
        "rows": [
            {
                "sparsity": sparsity,
                "storage": storage,
                "ratios": [round(ratio(group, sparsity, storage), 4) for group in ZERO_GROUPS],
            }
            for sparsity in SPARSITIES
            for storage in STORAGES
        ],
    }


def page(findings: Mapping[str, Any]) -> str:
    """Return the table and what its storages are."""
    heads = ["sparsity", "storage", *(f"group {group}" for group in findings["zero_groups"])]
    rows = [
        [
            f"{100 * row['sparsity']:.0f} %",
            row["storage"],
            *(f"{value:.2f}" for value in row["ratios"]),
            f"{1 / (1 - row['sparsity']):.2f}",
        ]
        for row in findings["rows"]
    ]
    return f"""# How far sparse weights compress

Dense int8 bytes over stored bytes of {findings["weights"]:,} Laplacian int8 weights (one 1x1 layer
of {IN_C} to {OUT_C} channels), of which aligned groups of consecutive weights are zero at
random. Execution groups of 4, or of 1 where single weights are pruned; one level. LZ4 block format,
high compression, level 12. Computed.

{table([*heads, "ideal"], rows)}

"Dense, lz4": the weights with their zeros as one LZ4 block, which kernels could only use dense.
"Nested, raw": the execution format. "Smallest": what `--optimize size` stores with these codecs,
and what the nested kernels walk after decoding its positions. "Ideal": one byte per kept weight,
no positions; LZ4 and deltas cannot beat it, a code for the values could.
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return nothing: ratios are found, not promised."""
    return []
