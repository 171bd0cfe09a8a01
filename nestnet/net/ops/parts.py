"""Parts of a tensor: slices, entries, and what splitting makes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from torch import fx

from nestnet.net.tensors import View, batch_of
from nestnet.net.walk import Aten, Unsupported, Walk, argument, axis_of

SPELLED = "slice/select/split/chunk/unbind"


def _part(
    walk: Walk, node: fx.Node, source: Any, cut: tuple[int, int, int, int], drop: bool = False
) -> None:
    """Bind ``node`` to ``cut``: a dimension without the batch, the first entry, how many, and the
    step; ``drop`` the dimension, which has one."""
    _, view = walk.seen(source)
    tensor, axis = None, cut[0]
    seen = view.sliced(*cut)
    if seen is None:
        tensor = walk.lay(source, view)
        seen = View.whole(tensor).sliced(*cut)
    assert seen is not None
    walk.see(node, source, seen.without(axis) if drop else seen, tensor)


def _bounds(size: int, start: Any, end: Any) -> tuple[int, int]:
    """Return where a slice of a dimension begins and ends, as Python counts."""
    for number in (start, end):
        if not isinstance(number, int | None):
            raise Unsupported("a slice whose ends are computed", number, "numbers as ends")
    first, last, _ = slice(start, end).indices(size)
    return first, last


def _slice(walk: Walk, node: fx.Node) -> None:
    source, dim = node.args[0], argument(node, 1, "dim", 0)
    start, end = argument(node, 2, "start", None), argument(node, 3, "end", None)
    step = int(argument(node, 4, "step", 1))
    _, view = walk.seen(source)
    at = int(dim) % source.meta["val"].dim()  # type: ignore[union-attr]
    if at == batch_of(source).axis and source.meta["val"].shape[at] == node.meta["val"].shape[at]:  # type: ignore[union-attr, arg-type]
        walk.alias(node, source)  # x[:]
        return
    axis = axis_of(source, dim)
    first, last = _bounds(view.sizes[axis], start, end)
    _part(walk, node, source, (axis, first, len(range(first, last, step)), step))


def _narrow(walk: Walk, node: fx.Node) -> None:
    source, dim, start, count = node.args[:4]
    _, view = walk.seen(source)
    axis = axis_of(source, dim)
    first, _ = _bounds(view.sizes[axis], start, None)
    _part(walk, node, source, (axis, first, int(count), 1))  # type: ignore[arg-type]


def _select(walk: Walk, node: fx.Node) -> None:
    source, dim, index = node.args[:3]
    _, view = walk.seen(source)
    if not isinstance(index, int):
        raise Unsupported("an entry whose index is computed", index, "a number as index")
    axis = axis_of(source, dim)
    _part(walk, node, source, (axis, index % view.sizes[axis], 1, 1), drop=True)


def _splits(
    cuts: Callable[[fx.Node, int], Iterator[int]], name: str = "dim", at: int = 2
) -> Callable[[Walk, fx.Node], None]:
    """Return what reads an operator with several parts along a dimension as results; ``cuts`` has
    the sizes of the parts, for the size of the dimension."""

    def read(walk: Walk, node: fx.Node) -> None:
        source, dim = node.args[0], argument(node, at, name, 0)
        _, view = walk.seen(source)
        axis = axis_of(source, dim)
        sizes = list(cuts(node, view.sizes[axis]))
        drop = node.meta["val"][0].dim() < source.meta["val"].dim()  # type: ignore[union-attr]
        walk.alias(node, source)
        for user in node.users:
            if user.target is not operator.getitem:
                raise Unsupported("a list of parts is used as a whole", user.name, "single parts")
            index = int(user.args[1]) % len(sizes)  # type: ignore[arg-type]
            _part(walk, user, node, (axis, sum(sizes[:index]), sizes[index], 1), drop)

    return read


def _each(size: int, total: int) -> Iterator[int]:
    """Yield the sizes of parts of ``size`` that make ``total``; the last may be smaller."""
    for start in range(0, total, size):
        yield min(size, total - start)


def _chunk(node: fx.Node, total: int) -> Iterator[int]:
    return _each(-(-total // int(node.args[1])), total)  # type: ignore[arg-type]


def _split(node: fx.Node, total: int) -> Iterator[int]:
    sizes = node.args[1]
    return _each(sizes, total) if isinstance(sizes, int) else iter(sizes)  # type: ignore[arg-type]


def _tensor_split(node: fx.Node, total: int) -> Iterator[int]:
    """Yield sizes that differ by one at most, or those between the indices that are given."""
    parts = node.args[1]
    if isinstance(parts, int):
        ends = [total // parts * i + min(i, total % parts) for i in range(parts + 1)]
    else:
        ends = [0, *(slice(0, i).indices(total)[1] for i in parts), total]  # type: ignore[union-attr]
    return (max(0, end - start) for start, end in pairwise(ends))


def _unbind(node: fx.Node, total: int) -> Iterator[int]:
    return _each(1, total)


def _getitem(walk: Walk, node: fx.Node) -> None:
    """Check that the operator with several results has bound this one."""
    if not walk.is_activation(node):
        what = node.all_input_nodes[0]
        raise Unsupported(
            "a result that is no activation is used", f"{node.args[1]} of {what.name}",
            "the values only, no indices",
        )  # fmt: skip


ATEN = {
    "slice": Aten(_slice, is_view=True),
    "narrow": Aten(_narrow, is_view=True),
    "select": Aten(_select, is_view=True),
    "chunk": Aten(_splits(_chunk), is_view=True),
    **dict.fromkeys(("split", "split_with_sizes"), Aten(_splits(_split), is_view=True)),
    "tensor_split": Aten(_splits(_tensor_split), is_view=True),
    "unbind": Aten(_splits(_unbind, at=1), is_view=True),
    "getitem": Aten(_getitem, is_view=True),
}
