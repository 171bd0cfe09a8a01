"""What the emulator plugin counts of an imagined memory system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Events:
    """What the memory system saw while a block ran, summed over its executions.

    In the order of ``enum counter`` in count_blocks.c.
    """

    instruction_misses: int = 0
    load_misses: int = 0
    store_misses: int = 0
    flash_loads: int = 0
    """Loads from flash, hit or miss."""
    cached_ram_accesses: int = 0
    """Loads and stores in RAM behind the data cache (none on a Cortex-M4)."""
