"""Average pooling, also adaptive, and the mean over height and width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import avg_pool as graph_avg_pool
from nestnet.net.ops.common.pools import Pool, adaptive_kernel, pads, sizes
from nestnet.net.stages import GridRule, Run
from nestnet.net.tensors import Tensor, as_map
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "average pool, mean over h and w"


@dataclass(frozen=True)
class AvgPool(Pool):
    """Mean over a window; padding counts as zero."""

    makes = (graph_avg_pool.AvgPool,)
    grid = GridRule.ROUNDED
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Take the mean, of a map or of positions in a row."""
        top, left, _, _ = self.padding
        mean = F.avg_pool2d(as_map(x[0]), self.kernel, self.stride, (top, left))
        return mean.reshape(len(mean), *at.tensor(self.output).torch_shape)


def _avg_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    kernel, stride, padding = sizes(tensor, node)
    around = pads(
        tensor, node, kernel, stride, padding, bool(argument(node, 4, "ceil_mode", False))
    )
    if around != (padding[0], padding[1], padding[0], padding[1]):
        raise Unsupported("average pool with partial windows", "ceil_mode=True", "ceil_mode=False")
    if padding != (0, 0) and not argument(node, 5, "count_include_pad", True):
        raise Unsupported(
            "average pool that leaves out padding",
            "count_include_pad=False",
            "count_include_pad=True or no padding",
        )
    divisor = argument(node, 6, "divisor_override", None)
    if divisor is not None and divisor != kernel[0] * kernel[1]:
        raise Unsupported("average pool with its own divisor", divisor, "divisor_override=None")
    _emit(walk, node, tensor, kernel, stride, around)


def _emit(
    walk: Walk,
    node: fx.Node,
    tensor: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    around: tuple[int, int, int, int],
) -> None:
    if kernel[0] * kernel[1] > graph_avg_pool.MAX_WINDOW:
        raise Unsupported(
            "average over too many elements",
            kernel,
            f"a window of at most {graph_avg_pool.MAX_WINDOW} elements",
            "Pool in two steps",
        )
    walk.emit(
        node,
        tensor,
        lambda name, output: AvgPool(name, tensor.name, output, kernel, stride, around),
    )


def _adaptive_avg_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    kernel = adaptive_kernel(tensor, node)
    _emit(walk, node, tensor, kernel, kernel, (0, 0, 0, 0))


def _mean(walk: Walk, node: fx.Node) -> None:
    """Read a mean; whether it keeps the dimensions is in the node's shape."""
    tensor = walk.activation(node)
    rank = len(tensor.torch_shape) + 1
    dims = argument(node, 1, "dim", None)
    axes = sorted(int(dim) % rank for dim in dims) if dims else []
    if axes != list(range(2, rank)) or rank < 3:
        raise Unsupported(
            "mean over other dimensions than height and width",
            f"dim={dims} of a rank {rank} tensor",
            "dim=(2, 3)",
        )
    h, w, _ = tensor.shape
    _emit(walk, node, tensor, (h, w), (h, w), (0, 0, 0, 0))


ATEN = {
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), Aten(_avg_pool)),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), Aten(_adaptive_avg_pool)),
    "mean": Aten(_mean),
}
