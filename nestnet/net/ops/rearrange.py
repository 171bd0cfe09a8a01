"""Elements in another order: permute, transpose, shuffles of channels and pixels, repetition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import fx

from codegen.graph.ops import rearrange as graph_rearrange
from codegen.graph.ops.rearrange import Loop
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.reshape import Reshape
from nestnet.net.stages import GridRule, Network, OneInput, Run, Stage, Step
from nestnet.net.tensors import View, batch_of, from_memory, to_memory
from nestnet.net.walk import Aten, Unsupported, Walk, argument, axis_of, sizes_of

SPELLED = "permute, channel and pixel shuffle, flip, repeat, nearest upsampling"


@dataclass(frozen=True)
class Rearrange(OneInput):
    """The elements that nested loops meet, in their order."""

    offset: int
    """Element of the input, in h, w, c order, that is the output's first."""
    loops: tuple[Loop, ...]
    """Extent and stride, outermost first."""

    makes = (graph_rearrange.Rearrange,)
    grid = GridRule.INPUT
    elementwise = False
    is_monotone = True

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Gather."""
        flat = to_memory(x[0], at.tensor(self.input))
        index = _elements(self.offset, self.loops).to(flat.device)
        return from_memory(flat.index_select(1, index), at.tensor(self.output))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a rearrangement."""
        x, y = graph.values[self.input], graph.like_input(self)
        graph.ops.append(
            graph_rearrange.Rearrange(self.name, x.name, y.name, self.offset, self.loops)
        )

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: bytes are moved."""
        return 0


@cache
def _elements(offset: int, loops: tuple[Loop, ...]) -> torch.Tensor:
    """Return the indices that the loops meet."""
    found = torch.tensor([offset])
    for extent, stride in loops:
        found = (found[:, None] + stride * torch.arange(extent)).reshape(-1)
    return found


def stage(name: str, source: str, offset: int, loops: tuple[Loop, ...] | None) -> Stage:
    """Return what moves the elements of ``source`` that ``loops`` meet; without loops, what gives
    all of them another shape."""
    if loops is None:
        return Reshape(name, source, name)
    return Rearrange(name, source, name, offset, loops)


def _reads(how: Callable[[View, fx.Node], View]) -> Aten:
    """Return what reads an operator as a view of its first operand."""

    def read(walk: Walk, node: fx.Node) -> None:
        walk.see(node, node.args[0], how(walk.seen(node.args[0])[1], node))

    return Aten(read, is_view=True)


def _copies(how: Callable[[View, fx.Node], View]) -> Aten:
    """Return what reads an operator whose result has memory of its own."""

    def read(walk: Walk, node: fx.Node) -> None:
        walk.see(node, node.args[0], how(walk.seen(node.args[0])[1], node), is_copy=True)

    return Aten(read)


def _rank(node: fx.Node) -> int:
    """Return the dimensions of the first operand of ``node``, the batch among them."""
    return int(node.all_input_nodes[0].meta["val"].dim())


def _ordered(view: View, node: fx.Node, order: list[int]) -> View:
    """Return a view with dimension ``order[i]`` as the i-th, the batch among them: what is left of
    that without the batch stays in its place."""
    batch = batch_of(node.all_input_nodes[0])
    if batch.inner > 1:
        return view.permuted(tuple(order))
    own = (batch.own(dim) for dim in order)
    return view.permuted(tuple(dim for dim in own if dim is not None))


def _permute(view: View, node: fx.Node) -> View:
    rank = _rank(node)
    return _ordered(view, node, [int(dim) % rank for dim in argument(node, 1, "dims", ())])


def _transpose(view: View, node: fx.Node) -> View:
    order = list(range(_rank(node)))
    one, other = (int(dim) % len(order) for dim in node.args[1:3])  # type: ignore[arg-type]
    order[one], order[other] = other, one
    return _ordered(view, node, order)


def _turned(view: View, node: fx.Node) -> View:
    *rest, one, other = range(_rank(node))
    return _ordered(view, node, [*rest, other, one])


def _movedim(view: View, node: fx.Node) -> View:
    rank = _rank(node)
    ends = [[dims] if isinstance(dims, int) else list(dims) for dims in node.args[1:3]]  # type: ignore[arg-type]
    sources, targets = ([int(dim) % rank for dim in dims] for dims in ends)
    order = [dim for dim in range(rank) if dim not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return _ordered(view, node, order)


def _reshaped(view: View, sizes: tuple[int, ...]) -> View:
    """Return a view with dimensions split.

    Raises:
        Unsupported: they are not evenly spaced.
    """
    seen = view.reshaped(sizes)
    if seen is None:
        raise Unsupported(
            "a shuffle of what has been cut and merged before", view.sizes, "a plain map",
            "Let a layer compute something before it",
        )  # fmt: skip
    return seen


def _map_sizes(view: View, node: fx.Node) -> tuple[int, int, int]:
    if len(view.sizes) != 3:
        raise Unsupported("input is not a map", view.sizes, "a batch x c x h x w tensor")
    c, h, w = view.sizes
    return c, h, w


def _channel_shuffle(view: View, node: fx.Node) -> View:
    c, *rest = view.sizes
    groups = int(argument(node, 1, "groups", 1))
    split = _reshaped(view, (groups, c // groups, *rest))
    turned = split.permuted((1, 0, *range(2, len(rest) + 2)))
    return turned.merged((2, *[1] * len(rest)))


def _pixel_shuffle(view: View, node: fx.Node) -> View:
    c, h, w = _map_sizes(view, node)
    r = int(argument(node, 1, "upscale_factor", 1))
    split = _reshaped(view, (c // r**2, r, r, h, w)).permuted((0, 3, 1, 4, 2))
    return split.merged((1, 2, 2))


def _pixel_unshuffle(view: View, node: fx.Node) -> View:
    c, h, w = _map_sizes(view, node)
    r = int(argument(node, 1, "downscale_factor", 1))
    split = _reshaped(view, (c, h // r, r, w // r, r)).permuted((0, 2, 4, 1, 3))
    return split.merged((3, 1, 1))


def _flip(view: View, node: fx.Node) -> View:
    for dim in argument(node, 1, "dims", ()):
        view = view.flipped(axis_of(node.all_input_nodes[0], dim))
    return view


def _expand(view: View, node: fx.Node) -> View:
    sizes = sizes_of(node)
    if len(sizes) != len(view.dims):
        raise Unsupported("expansion by new dimensions", sizes, "as many dimensions as before")
    for axis, (size, had) in enumerate(zip(sizes, view.sizes, strict=True)):
        if size != had:
            view = view.repeated(axis, size)
    return view


def _repeat(view: View, node: fx.Node) -> View:
    times = [int(count) for count in node.args[1]]  # type: ignore[arg-type, union-attr]
    if "tile" in str(node.target):
        times = [1] * (len(view.dims) + 1 - len(times)) + times
    if len(times) != len(view.dims) + 1 or times[0] != 1:
        raise Unsupported(
            "repetition of the batch or by new dimensions",
            times,
            f"{len(view.dims) + 1} counts, the first of them 1",
        )
    for axis, count in enumerate(times[1:]):
        view = view.repeated(axis, count)
    return view


def _repeat_interleave(view: View, node: fx.Node) -> View:
    times, dim = argument(node, 1, "repeats", None), argument(node, 2, "dim", None)
    if not isinstance(times, int) or dim is None:
        raise Unsupported("repetition of elements", f"{times} times, dim {dim}", "two numbers")
    return view.repeated(axis_of(node.all_input_nodes[0], dim), times, each=True)


def _nearest(view: View, node: fx.Node) -> View:
    for axis, size in enumerate(sizes_of(node)):
        had = view.sizes[axis]
        if size % had:
            raise Unsupported(
                "nearest upsampling by a fraction",
                f"{had} -> {size}",
                "a multiple of the input's size",
                "Choose another size",
            )
        if size > had:
            view = view.repeated(axis, size // had, each=True)
    return view


ATEN = {
    "permute": _reads(_permute),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _reads(_transpose)),
    **dict.fromkeys(("movedim", "moveaxis"), _reads(_movedim)),
    **dict.fromkeys(("mT", "adjoint"), _reads(_turned)),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _reads(_expand)),
    "channel_shuffle": _copies(_channel_shuffle),
    "pixel_shuffle": _copies(_pixel_shuffle),
    "pixel_unshuffle": _copies(_pixel_unshuffle),
    "flip": _copies(_flip),
    **dict.fromkeys(("repeat", "tile"), _copies(_repeat)),
    "repeat_interleave": _copies(_repeat_interleave),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _copies(_nearest)),
}
