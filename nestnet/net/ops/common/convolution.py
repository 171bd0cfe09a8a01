"""Convolve without the two cases in which PyTorch's CPU kernels use memory nobody wrote.

Both were seen in PyTorch 2.13 and come from oneDNN:

- In bfloat16 the gradient of a kernel column that meets only padding is never written. Such columns
  exist where the map is narrow, as of a sensor's samples one after the other (n x 1).
- In float32, of a map with one channel in channels-last memory, outputs one column wide are wrong
  where the stride between columns is above 1.

Explicit padding and, for a single output column, a stride of 1 give the same numbers without.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    groups: int,
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Return the convolution of (n, c, h, w) with (o, c / groups, kh, kw).

    Args:
        x: the input.
        weight: the kernels.
        bias: (o,) or None.
        stride: along height and width.
        padding: zeros at top, left, bottom, right.
        groups: of channels.
        dilation: distance of the kernel's elements along height and width.
    """
    top, left, bottom, right = padding
    width, kernel_w = x.shape[3], (weight.shape[3] - 1) * dilation[1] + 1
    stride_h, stride_w = stride
    # Every kernel column meets the map if it is at least this wide, whatever the padding.
    narrow = width < kernel_w + stride_w
    if (width + left + right - kernel_w) // stride_w == 0:
        right, stride_w = kernel_w - width - left, 1
    if top == bottom and left == right and not narrow:
        return F.conv2d(x, weight, bias, (stride_h, stride_w), (top, left), dilation, groups)
    if top == bottom:
        x = F.pad(x, (left, right))
        return F.conv2d(x, weight, bias, (stride_h, stride_w), (top, 0), dilation, groups)
    x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, bias, (stride_h, stride_w), 0, dilation, groups)
