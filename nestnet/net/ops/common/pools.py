"""What the poolings share: a window over each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import fx

from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.pools import adaptive_kernel
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import Network, OneInput, Step
from nestnet.net.tensors import Tensor
from nestnet.net.walk import along, argument

Sides = tuple[int, int, int, int]
"""top, left, bottom, right."""


@dataclass(frozen=True)
class Window:
    """What a pool slides over a map."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    """0 along an axis whose windows are adaptive; the kernel is then the largest of them."""
    padding: Sides = (0, 0, 0, 0)

    @property
    def is_adaptive(self) -> bool:
        """Return whether some windows are an adaptive pool's."""
        return 0 in self.stride


@dataclass(frozen=True)
class Pool(OneInput):
    """A reduction of every channel over a window."""

    window: Window
    makes: ClassVar[tuple[type[AvgPool | MaxPool]]]

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add the pool, on its input's grid."""
        x, y = graph.values[self.input], graph.like_input(self)
        window = (self.window.kernel, self.window.stride, self.window.padding)
        (made,) = self.makes
        graph.ops.append(made(self.name, x.name, y.name, *window, *self.counts))

    @property
    def counts(self) -> tuple[Sides, ...]:
        """Return what the operator of the integer graph asks for beside the window."""
        return ()

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: all that a pool needs is in the code."""
        return 0


def sliding(tensor: Tensor, node: fx.Node, ceil_mode: bool) -> tuple[Window, Sides]:
    """Return the window of a pool and the padding it asks for; ``ceil_mode`` lets windows reach
    further beyond bottom and right."""
    kernel = along(tensor, node.args[1])
    stride = argument(node, 2, "stride", None)
    stride = along(tensor, stride) if stride else kernel
    pad_h, pad_w = along(tensor, argument(node, 3, "padding", 0), 0)
    asked = (pad_h, pad_w, pad_h, pad_w)
    if not ceil_mode:
        return Window(kernel, stride, asked), asked
    value = node.meta["val"]
    shape = (value[0] if isinstance(value, tuple | list) else value).shape
    out_h, out_w = along(tensor, shape[2:])
    in_h, in_w, _ = tensor.shape
    need_h = (out_h - 1) * stride[0] + kernel[0] - in_h - pad_h
    need_w = (out_w - 1) * stride[1] + kernel[1] - in_w - pad_w
    return Window(kernel, stride, (pad_h, pad_w, max(need_h, pad_h), max(need_w, pad_w))), asked


def adaptive(tensor: Tensor, node: fx.Node) -> Window:
    """Return the window of an adaptive pool: one that slides where all windows are alike."""
    in_h, in_w, _ = tensor.shape
    wanted = argument(node, 1, "output_size", None)
    wanted = [wanted] if isinstance(wanted, int) else list(wanted)
    out_h = in_h if len(tensor.torch_shape) == 2 or wanted[0] is None else wanted[0]
    out_w = in_w if wanted[-1] is None else wanted[-1]
    axes = [_adaptive_axis(in_h, out_h), _adaptive_axis(in_w, out_w)]
    return Window((axes[0][0], axes[1][0]), (axes[0][1], axes[1][1]))


def _adaptive_axis(extent: int, out: int) -> tuple[int, int]:
    """Return kernel and stride along an axis."""
    if extent % out == 0:
        return extent // out, extent // out
    return adaptive_kernel(extent, out), 0
