"""Devices, threads and mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from codegen.errors import UserError

SMALL_STEP_MACS = 200_000_000
"""The digits model does 50 million in a batch of 128, resnet8 1600 million."""


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device called ``name``; ``auto`` is a CUDA device if there is one.

    Raises:
        UserError: ``cuda`` on a machine without.
    """
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise UserError(
            "--device",
            "no CUDA device",
            got="cuda",
            expected="auto | cpu",
            action="Leave --device out, or install a PyTorch build and driver with CUDA",
        )
    if name == "cpu" or not has_cuda:
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


def use_bf16(mode: str, device: torch.device) -> bool:
    """Return whether the float phases run in bfloat16.

    ``auto`` says yes where the device multiplies bfloat16 faster than float32: CUDA devices with
    native support, and CPUs with AVX512-BF16 or AMX (measured: 2.3 times on resnet8).
    """
    if mode != "auto":
        return mode == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


@contextmanager
def suitable_threads(macs_per_step: int) -> Iterator[None]:
    """Run small networks on one CPU thread.

    A step of ``macs_per_step`` multiply-accumulates below SMALL_STEP_MACS gains little from more
    threads, and loses more than it gains when another program keeps one of the cores busy.
    """
    before = torch.get_num_threads()
    if macs_per_step < SMALL_STEP_MACS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def mixed_precision(device: torch.device, enabled: bool) -> AbstractContextManager[object]:
    """Return the autocast context of one forward pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
