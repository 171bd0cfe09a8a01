"""What the poolings share: a window over each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import fx

from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import Network, OneInput, Step
from nestnet.net.tensors import Tensor
from nestnet.net.walk import Unsupported, along, argument


@dataclass(frozen=True)
class Pool(OneInput):
    """A reduction of every channel over a window."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""
    makes: ClassVar[tuple[type[AvgPool | MaxPool]]]

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add the pool, on its input's grid."""
        x, y = graph.values[self.input], graph.like_input(self)
        (made,) = self.makes
        graph.ops.append(made(self.name, x.name, y.name, self.kernel, self.stride, self.padding))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: all that a pool needs is in the code."""
        return 0


def sizes(
    tensor: Tensor, node: fx.Node
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return kernel, stride and padding along height and width."""
    kernel = along(tensor, node.args[1])
    stride = argument(node, 2, "stride", None)
    return (
        kernel,
        along(tensor, stride) if stride else kernel,
        along(tensor, argument(node, 3, "padding", 0), 0),
    )


def pads(
    tensor: Tensor,
    node: fx.Node,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil_mode: bool,
) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right; ``ceil_mode`` enlarges bottom and right."""
    if not ceil_mode:
        return (padding[0], padding[1], padding[0], padding[1])
    value = node.meta["val"]
    shape = (value[0] if isinstance(value, tuple | list) else value).shape
    out_h, out_w = along(tensor, shape[2:])
    in_h, in_w, _ = tensor.shape
    need_h = (out_h - 1) * stride[0] + kernel[0] - in_h - padding[0]
    need_w = (out_w - 1) * stride[1] + kernel[1] - in_w - padding[1]
    return (padding[0], padding[1], max(need_h, padding[0]), max(need_w, padding[1]))


def adaptive_kernel(tensor: Tensor, node: fx.Node) -> tuple[int, int]:
    """Return the window, and stride, of an adaptive pool."""
    in_h, in_w, _ = tensor.shape
    wanted = argument(node, 1, "output_size", None)
    wanted = [wanted] if isinstance(wanted, int) else list(wanted)
    in_a_row = len(tensor.torch_shape) == 2
    out_h = in_h if in_a_row or wanted[0] is None else wanted[0]
    out_w = in_w if wanted[-1] is None else wanted[-1]
    if in_h % out_h or in_w % out_w:
        raise Unsupported(
            "adaptive pool to a size that does not divide the input",
            f"{in_h} x {in_w} -> {out_h} x {out_w}",
            "an output size that divides the input size",
            "Choose another output size or use a plain pool",
        )
    return in_h // out_h, in_w // out_w
