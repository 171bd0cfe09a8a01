"""Convolutions of narrow maps: outputs and gradients equal sums made by hand, whatever lay in
memory before."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nestnet.net.ops.common.convolution import convolve
from tests.support.nets import leave_behind

SENSORS = [(32, 1), (33, 1), (16, 1), (1, 1), (2, 1), (49, 10), (1, 128), (16, 8), (9, 7), (1, 2)]
KERNELS = [(3, 3), (1, 3), (5, 5), (7, 7), (10, 4), (1, 1)]
STRIDES = [(1, 1), (2, 2), (1, 2), (1, 3), (2, 1)]


def by_hand(x: Tensor, weight: Tensor, stride: tuple[int, int], groups: int) -> Tensor:
    """Return the unpadded convolution as a sum over kernel positions."""
    n, _, height, width = x.shape
    out_c, per_group, kernel_h, kernel_w = weight.shape
    out_h, out_w = (height - kernel_h) // stride[0] + 1, (width - kernel_w) // stride[1] + 1
    total = torch.zeros(n, groups, out_c // groups, out_h, out_w, dtype=x.dtype)
    for row, column in itertools.product(range(kernel_h), range(kernel_w)):
        rows = slice(row, row + (out_h - 1) * stride[0] + 1, stride[0])
        columns = slice(column, column + (out_w - 1) * stride[1] + 1, stride[1])
        seen = x[:, :, rows, columns].reshape(n, groups, per_group, out_h, out_w)
        kernel = weight[:, :, row, column].reshape(groups, -1, per_group)
        total = total + torch.einsum("ngchw,goc->ngohw", seen, kernel)
    return total.reshape(n, out_c, out_h, out_w)


@pytest.mark.parametrize("shape", SENSORS)
@pytest.mark.parametrize("in_c", [1, 3])
@pytest.mark.parametrize("bf16", [False, True])
def test_narrow_maps(shape: tuple[int, int], in_c: int, bf16: bool) -> None:
    compared = 0
    for kernel, stride, grouped in itertools.product(KERNELS, STRIDES, (False, True)):
        top, left = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
        for padding in ((top, left, top, left), (top, left, kernel[0] // 2, kernel[1] // 2)):
            padded = (shape[0] + padding[0] + padding[2], shape[1] + padding[1] + padding[3])
            if padded[0] >= kernel[0] and padded[1] >= kernel[1]:
                groups = in_c if grouped else 1
                compare(shape, in_c, kernel, stride, padding, groups, bf16)
                compared += 1
    assert compared >= 20


def compare(
    shape: tuple[int, int],
    in_c: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    groups: int,
    bf16: bool,
) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(5, *shape, in_c, generator=generator).bfloat16().double()
    kernels = torch.randn(6, in_c // groups, *kernel, generator=generator).bfloat16().double()
    exact_x = pixels.permute(0, 3, 1, 2).requires_grad_()
    exact_w = kernels.clone().requires_grad_()
    top, left, bottom, right = padding
    wanted = by_hand(F.pad(exact_x, (left, right, top, bottom)), exact_w, stride, groups)
    wanted.square().sum().backward()
    x = torch.empty(5, *shape, in_c).copy_(pixels).permute(0, 3, 1, 2).requires_grad_()
    weight = kernels.float().contiguous(memory_format=torch.channels_last).requires_grad_()
    sizes = (x.numel(), weight.numel(), wanted.numel())
    leave_behind(1e30, *sizes)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = convolve(x, weight, None, stride, padding, groups)
    leave_behind(1e30, *sizes)
    y.float().square().sum().backward()
    pairs = ((y, wanted), (x.grad, exact_x.grad), (weight.grad, exact_w.grad))
    for got, exact in pairs:
        assert got is not None and exact is not None
        error = float((got.detach().double() - exact.detach()).abs().max())
        largest = float(exact.detach().abs().max())
        case = (shape, in_c, kernel, stride, padding, groups)
        assert error <= (0.06 if bf16 else 1e-4) * largest + 1e-5, (case, error, largest)
