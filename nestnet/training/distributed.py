"""Training on several GPUs or processes with ``torchrun``: the same run, each batch cut in parts.

Every process holds the whole network, computes the gradients of its part of each batch, and takes
the same step from the average. Only the process of rank 0 writes files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from codegen.errors import UserError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


def join(device: str) -> Processes:
    """Join the processes torchrun started; a process on its own gets rank 0 of 1.

    Processes with a GPU each (``cuda``, or ``auto`` where there are GPUs) exchange through NCCL.

    Raises:
        UserError: more processes on this machine than it has GPUs.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Processes()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        _take_gpu(local_rank)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return Processes(dist.get_rank(), dist.get_world_size(), local_rank)


def is_leader() -> bool:
    """Return whether this process writes files, also after it left the others."""
    return "WORLD_SIZE" not in os.environ or int(os.environ.get("RANK", "0")) == 0


def _take_gpu(local_rank: int) -> None:
    """Make GPU ``local_rank`` this process's own, which NCCL's object exchange relies on."""
    gpus = torch.cuda.device_count()
    if local_rank >= gpus:
        raise UserError(
            "torchrun",
            "more processes than GPUs",
            got=f"process {local_rank} on a machine with {gpus}",
            expected="one process for each GPU",
            action=f"Use --nproc-per-node {gpus}, or --device cpu",
        )
    torch.cuda.set_device(local_rank)


def leave() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one exchange."""
    if dist.is_initialized():
        _exchange(tensors, dist.ReduceOp.SUM, dist.get_world_size())


def largest(tensors: Iterable[Tensor]) -> None:
    """Replace each element by its maximum over all processes, in one exchange."""
    if dist.is_initialized():
        _exchange(tensors, dist.ReduceOp.MAX, 1)


def _exchange(tensors: Iterable[Tensor], how: Any, divisor: int) -> None:
    """Replace ``tensors`` by what ``how`` makes of all processes' ones, divided by ``divisor``."""
    parts = list(tensors)
    if not parts:
        return
    joined = torch.cat([part.detach().reshape(-1).float() for part in parts])
    dist.all_reduce(joined, how)
    joined /= divisor
    start = 0
    for part in parts:
        part.copy_(joined[start : start + part.numel()].view_as(part))
        start += part.numel()


def average_gradients(network: nn.Module) -> None:
    """Average the gradients of all parameters that have one; all processes ran the same levels."""
    average(p.grad for p in network.parameters() if p.grad is not None)


@torch.no_grad()
def average_statistics(network: nn.Module) -> None:
    """Average the floating-point buffers (batch-norm statistics, observers)."""
    average(buffer for buffer in network.buffers() if buffer.is_floating_point())


def agree(text: str) -> str:
    """Return rank 0's ``text`` in every process."""
    if not dist.is_initialized():
        return text
    box = [text]
    dist.broadcast_object_list(box, src=0)
    return str(box[0])
