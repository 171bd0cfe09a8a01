"""What the poolings share: a window over each channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import fx

from codegen.graph import ir
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.reshape import Reshape
from codegen.graph.pools import adaptive_kernel
from codegen.graph.window import out_extent
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import Around, Network, OneInput, Run, Sides, Step, inside, joined
from nestnet.net.tensors import Shape, Tensor, along, as_map, from_memory, to_memory
from nestnet.net.walk import Unsupported, argument


@dataclass(frozen=True)
class Window:
    """What a pool slides over a map."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    """0 along an axis whose windows are adaptive; the kernel is then the largest of them."""
    padding: Sides = (0, 0, 0, 0)
    view: Shape | None = None
    """h, w, c as which it sees what it slides over, elements in the same order; None: as it is."""

    def padded(self, around: Around) -> Window | None:
        """Return the window that pads by itself; None where it could see nothing else, or sees no
        map as it is."""
        padding = joined(around.sides, self.padding)
        if self.is_adaptive or self.view is not None or not inside(padding, self.kernel):
            return None
        return replace(self, padding=padding)

    @property
    def is_adaptive(self) -> bool:
        """Return whether some windows are an adaptive pool's."""
        return 0 in self.stride

    def out_shape(self, shape: Shape) -> Shape | None:
        """Return the h, w, c that it makes of ``shape``; None where it is adaptive."""
        return None if self.is_adaptive else (*out_extent(self, shape), shape[2])


@dataclass(frozen=True)
class Pool(OneInput):
    """A reduction of every channel over a window."""

    window: Window
    makes: ClassVar[tuple[type[AvgPool | MaxPool]]]

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add the pool, on its input's grid."""
        (made,) = self.makes
        over = self.window

        def make(name: str, x: str, y: str) -> ir.Op:
            return made(name, x, y, over.kernel, over.stride, over.padding, *self.counts)

        export_window(graph, self, self.window, graph.like_input(self), make)

    def seen(self, x: torch.Tensor, at: Run) -> torch.Tensor:
        """Return the input as a map (n, c, h, w) of the shape that the window sees."""
        return seen_as(x, self.window.view, at.tensor(self.input))

    def made(self, y: torch.Tensor, at: Run) -> torch.Tensor:
        """Return what was made of :meth:`seen` in the output's shape."""
        return shaped_as(y, at.tensor(self.output))

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


def seen_as(x: torch.Tensor, view: Shape | None, source: Tensor) -> torch.Tensor:
    """Return values of ``source`` as a map (n, c, h, w) of h, w, c = ``view``, by default its own,
    elements in h, w, c order."""
    if view is None and source.channel_axis == 0:
        return as_map(x)
    return to_memory(x, source).reshape(len(x), *(view or source.shape)).movedim(-1, 1)


def shaped_as(y: torch.Tensor, target: Tensor) -> torch.Tensor:
    """Return a map (n, c, h, w) as values of ``target``, elements in h, w, c order."""
    return from_memory(y.movedim(1, -1).flatten(1), target)


def export_window(
    graph: GraphBuilder,
    stage: OneInput,
    window: Window,
    y: ir.Value,
    make: Callable[[str, str, str], ir.Op],
) -> None:
    """Add the operator ``make(name, input, output)`` that computes the value ``y`` of ``stage``,
    between reshapes where it sees or makes another shape."""
    x = graph.values[stage.input]
    if window.view is not None and window.view != x.shape:
        seen = graph.add_inner(f"{stage.name}.seen", window.view, x)
        graph.ops.append(Reshape(seen.name, x.name, seen.name))
        x = seen
    shape = window.out_shape(x.shape)
    if shape is None or shape == y.shape:
        graph.ops.append(make(stage.name, x.name, y.name))
        return
    inner = graph.add_inner(f"{stage.name}.made", shape, y)
    graph.ops.append(make(inner.name, x.name, inner.name))
    graph.ops.append(Reshape(stage.name, inner.name, y.name))


def reduction(tensor: Tensor, dims: Sequence[int], keepdim: bool) -> tuple[Window, int]:
    """Return the window of a reduction over ``dims`` of PyTorch, and which dimension of its result
    holds the channels.

    Over height and width it is the map's own. Where the channels are reduced, the elements are one
    channel of rows, each of what is reduced; the last dimension that is left becomes the channels.

    Raises:
        Unsupported: the batch is reduced, or what is reduced does not lie together.
    """
    rank = len(tensor.torch_shape)
    chosen = {dim % (rank + 1) - 1 for dim in dims}
    if -1 in chosen or not chosen:
        raise Unsupported(
            "reduction over the images of a batch",
            f"dim={list(dims) or None} of a rank {rank + 1} tensor",
            "one result for each image",
        )
    h, w, c = tensor.shape
    places = [axis for axis in range(rank) if axis != tensor.channel_axis]
    names = dict(zip(places, ("h", "w")[-len(places) :] if places else (), strict=True))
    names[tensor.channel_axis] = "c"
    reduced = {names[axis] for axis in chosen}
    left = [axis for axis in range(rank) if keepdim or axis not in chosen]
    channel_axis = left.index(tensor.channel_axis) if tensor.channel_axis in left else len(left) - 1
    reduced |= {name for name, extent in (("h", h), ("w", w)) if extent == 1}
    if "c" not in reduced:
        kernel = (h if "h" in reduced else 1, w if "w" in reduced else 1)
        return Window(kernel, kernel), channel_axis
    if "h" in reduced and "w" not in reduced and h > 1:
        raise Unsupported(
            "reduction over channels and height alone",
            f"dim={list(dims)}",
            "channels, height, width, or two that lie together: width and channels",
            "Reduce over one after the other",
        )
    kept = (1 if "h" in reduced else h) * (1 if "w" in reduced else w)
    row = h * w * c // kept
    return Window((1, row), (1, row), view=(kept, row, 1)), channel_axis


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
