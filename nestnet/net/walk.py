"""Read an exported graph into stages: which node is which activation, and what reads a node."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import fx

from codegen.graph.ops.rearrange import MAX_LOOPS, Loop
from nestnet.net.stages import Stage
from nestnet.net.tensors import COMPUTED, Shape, Tensor, View, batch_of, best_axis, is_all

CONSTANTS = "Numbers read from parameters: write them as Python floats"
"""What to do about float(parameter), or its item(), as an argument."""


class Unsupported(Exception):
    """An operator, or an option of one, that the integer graph has no equivalent for.

    An empty ``expected`` stands for all that is supported; an empty ``action`` leaves it to the
    operator's name what to use instead.
    """

    def __init__(self, what: str, got: object, expected: str = "", action: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.got = got
        self.expected = expected
        self.action = action


@dataclass(frozen=True)
class Aten:
    """How one operator of an exported graph is read."""

    read: Callable[[Walk, fx.Node], None]
    """Gets a node with an activation among its arguments, appends stages to the walk and binds the
    node to what they make. It raises Unsupported, which becomes an error with the source line."""
    is_view: bool = False
    """Whether the result may share memory with the argument."""
    mode_argument: int | None = None
    """Position of the argument that says whether the module is in training mode."""
    is_dropout: bool = False
    """Whether it does something in training mode only."""


@dataclass
class Walk:
    """State of one walk over an exported graph."""

    move: Callable[[str, str, int, tuple[Loop, ...] | None], Stage]
    """Returns the stage ``(name, source, offset, loops)`` that moves the elements which the loops
    meet; without loops the one that gives all of them another shape."""
    targets: dict[str, str]
    """Placeholder name -> the user's qualified parameter or buffer name."""
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Placeholder name -> the numbers of a constant that is no parameter or buffer."""
    evaluation: bool = False
    """Whether the graph was captured in evaluation mode."""
    training_dropouts: Collection[fx.Node] = ()
    """Of a graph in evaluation mode, the dropouts that are on in training mode."""
    stages: list[Stage] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: dict[str, fx.Node] = field(default_factory=dict)
    """Tensor name -> the node that computes it."""
    absorbed: dict[fx.Node, tuple[int, float]] = field(default_factory=dict)
    """Steps of something that is read as one where it ends, which compute nothing themselves, with
    the dimension without the batch and the number that they come to there."""
    computed: dict[str, fx.Node] = field(default_factory=dict)
    """Constants that the module computes of its parameters, under names of their own."""
    _lost: set[fx.Node] = field(default_factory=set)
    """Results of unsupported operators whose shape no activation can have."""
    _bound: dict[fx.Node, str] = field(default_factory=dict)
    _views: dict[fx.Node, View] = field(default_factory=dict)
    """What a node sees of the tensor it is bound to, if not all of it as it is: nothing has read
    that yet."""
    _moved: dict[tuple[object, ...], str] = field(default_factory=dict)
    """Tensor, view and layout -> the tensor that holds it."""
    _storage: dict[fx.Node, int] = field(default_factory=dict)
    """Storage that the result lies in: views share one, copies of one tensor do not."""
    _storages: Iterator[int] = field(default_factory=itertools.count)
    _stale: set[fx.Node] = field(default_factory=set)
    _batch: str = ""
    """The symbol of the batch size."""

    def enter(self, node: fx.Node, name: str) -> None:
        """Bind an input of the network."""
        self._batch = self._batch or str(node.meta["val"].shape[0])
        self._new(node, name)

    def is_activation(self, node: object) -> bool:
        """Return whether ``node`` is bound to an activation tensor."""
        return isinstance(node, fx.Node) and node in self._bound

    def is_lost(self, node: fx.Node) -> bool:
        """Return whether reading could not go on at ``node``."""
        return node in self._lost

    def suppose(self, node: fx.Node) -> None:
        """Go on behind an operator that cannot be expressed, as if it made a good activation."""
        if not isinstance(node.meta["val"], torch.Tensor):  # a list of parts
            self._lost.add(node)
            return
        source = next((self._bound[n] for n in node.all_input_nodes if n in self._bound), None)
        before = None if source is None else self.tensors[source]
        try:
            same = before is not None and before.torch_shape == shape_of(node)
            like = before if before is not None and same else Tensor("", (1,))
            self._new(node, self._unique(node.name), like.flat_from, like.channel_axis)
        except Unsupported:
            self._lost.add(node)

    def seen(self, node: object) -> tuple[Tensor, View]:
        """Return the tensor that an operand is bound to, and what it sees of it.

        Raises:
            Unsupported: no activation, or one whose memory was changed behind its back.
        """
        if not isinstance(node, fx.Node) or node not in self._bound:
            raise Unsupported("an operand is not an activation", node)
        tensor = self.tensors[self._bound[node]]
        if node in self._stale:
            raise Unsupported(
                "a tensor is used after a view of it was changed in place",
                tensor.name,
                "values that are not changed in place through a view",
                "Use the out-of-place form of the operator",
            )
        return tensor, self._views.get(node) or View.whole(tensor)

    def read(
        self, node: object, channel_axis: int | None = 0, plain: bool = False
    ) -> Tensor | None:
        """Return the activation ``node`` is bound to, None for anything else.

        Args:
            node: an operand.
            channel_axis: the dimension without the batch that the reader takes for the channels, 0
                or -1; None: it computes each element alone, whatever the order.
            plain: a flattened map in PyTorch's order, not in that of the map
                (:attr:`Tensor.flat_from`).

        Raises:
            Unsupported: a batch in a place where the reader does not look for it.
        """
        if not self.is_activation(node):
            return None
        assert isinstance(node, fx.Node)
        tensor, view = self.seen(node)
        batch, last = batch_of(node), len(view.sizes) - 1
        axis = None if channel_axis is None else channel_axis % (last + 1)
        if axis == 0 and batch.inner > 1 and last == 1:
            axis = 1  # of (images x tokens, channels)
        if batch.axis or (axis == 0 and batch.inner > 1):
            raise _batch_problem(node)
        as_it_is = node not in self._views and axis in (None, tensor.channel_axis)
        if as_it_is and not (plain and tensor.flat_from is not None):
            return tensor
        made = self._lay(node, tensor, view, axis, plain)
        if node in self._views:
            del self._views[node]
            self._bound[node] = made.name
        return made

    def _lay(
        self, node: fx.Node, tensor: Tensor, view: View, axis: int | None, plain: bool
    ) -> Tensor:
        """Return a tensor of its own for what ``node`` sees, moved if it has to be."""
        axis = best_axis(view, tensor) if axis is None else axis
        loops = view.loops(axis)
        all_of_it = is_all(view, loops, tensor)
        flat_from: Shape | None = None
        if len(view.dims) == 1 and not plain and not all_of_it:
            h, w, c = tensor.flat_from or tensor.shape
            flattened = View.whole(Tensor("", (c * h * w,), (h, w, c)))
            flat_from = (h, w, c) if view == flattened else None
        made = Tensor(tensor.name, view.sizes, flat_from, axis)
        if all_of_it or flat_from is not None:
            if made == tensor:
                return tensor
        elif len(loops) > MAX_LOOPS:
            raise Unsupported(
                "moves that together are too entangled",
                f"{len(loops)} nested loops",
                f"at most {MAX_LOOPS}",
                "Let a layer compute something between them",
            )
        key = (tensor.name, view, axis, flat_from)
        if key not in self._moved:
            name = self._unique(node.name.rstrip("_"))
            moves = None if all_of_it or flat_from is not None else loops
            self.stages.append(self.move(name, tensor.name, view.offset, moves))
            self.tensors[name] = replace(made, name=name)
            self.nodes[name] = node
            self._moved[key] = name
        return self.tensors[self._moved[key]]

    def lay(self, node: object, view: View, channel_axis: int | None = None) -> Tensor:
        """Return a tensor of its own for a view of what the operand ``node`` is bound to, its
        dimensions evenly spaced; ``channel_axis`` may say which are the channels."""
        assert isinstance(node, fx.Node)
        tensor, whole = self.seen(node)
        made = self._lay(node, tensor, view, channel_axis, plain=True)
        in_a_row = (prod(view.sizes),)
        if (
            view.reshaped(in_a_row) != whole.reshaped(in_a_row)
            and self.nodes.get(made.name) is node
        ):
            del self.nodes[made.name]  # a part of what it computes, or another order
        return made

    def see(
        self,
        node: fx.Node,
        source: object,
        view: View,
        tensor: Tensor | None = None,
        is_copy: bool = False,
    ) -> None:
        """Bind ``node`` to what ``view`` shows of ``tensor``, by default the one that the operand
        ``source`` is bound to, in the memory of ``source`` or as a copy. Nothing moves before it
        is read."""
        assert isinstance(source, fx.Node)
        self.check_batch(node)
        (self.copy if is_copy else self.alias)(node, source)
        self._bound[node] = self._bound[source] if tensor is None else tensor.name
        self._views[node] = view
        if view == View.whole(self.tensors[self._bound[node]]):
            del self._views[node]

    def activation(
        self, node: fx.Node, index: int = 0, channel_axis: int | None = 0, plain: bool = False
    ) -> Tensor:
        """Return argument ``index`` of ``node``, which must be an activation; see :meth:`read`."""
        self.seen(node.args[index])
        tensor = self.read(node.args[index], channel_axis, plain)
        assert tensor is not None
        return tensor

    def map(self, node: fx.Node) -> Tensor:
        """Return the first argument of ``node``, which must be a map or samples in a row."""
        tensor = self.activation(node)
        if len(tensor.torch_shape) == 1:
            raise Unsupported(
                "input is not a map",
                tensor.torch_shape,
                "a batch x c x h x w tensor, or batch x c x n",
                "Reshape it",
            )
        return tensor

    def parameter(self, argument: object, role: str) -> str | None:
        """Return the user's name of a parameter argument, None where there is none."""
        if argument is None:
            return None
        if isinstance(argument, fx.Node) and argument.name in self.targets:
            return self.targets[argument.name]
        raise Unsupported(
            f"{role} is computed, not a parameter",
            argument,
            "a parameter or buffer of the module",
            "Compute it before tracing and store it as a parameter",
        )

    def emit(
        self,
        node: fx.Node,
        source: Tensor,
        make: Callable[[str, str], Stage],
        name: str | None = None,
        flat_from: Shape | None = None,
        channel_axis: int = 0,
        is_view: bool = False,
        any_rank: bool = False,
    ) -> None:
        """Append the stage ``make(name, output)`` on ``source`` and bind ``node`` to its output.

        An elementwise stage leaves the order of the elements; what any other makes has the channels
        at ``channel_axis``, and is a flattened map where ``flat_from`` (h, w, c) says so.
        """
        stage_name = self._unique(name or node.name.rstrip("_"))
        stage = make(stage_name, stage_name)
        self._new(
            node,
            stage_name,
            flat_from=source.flat_from if stage.elementwise else flat_from,
            channel_axis=source.channel_axis if stage.elementwise else channel_axis,
            storage=self._storage[node.all_input_nodes[0]] if is_view else None,
            any_rank=any_rank or stage.elementwise,
        )
        self.stages.append(stage)

    def emit_beside(
        self, node: fx.Node, source: Tensor, make: Callable[[str, str], Stage]
    ) -> Tensor:
        """Append the elementwise stage ``make(name, output)`` on ``source``, which :meth:`read`
        gave for ``node``; return what the stage makes, which no node is bound to."""
        name = self._unique(node.name.rstrip("_"))
        self.stages.append(make(name, name))
        self.tensors[name] = replace(source, name=name)
        self.nodes[name] = node
        return self.tensors[name]

    def within(self, node: fx.Node, source: Tensor, make: Callable[[str, str], Stage]) -> Tensor:
        """Append the stage ``make(name, output)`` on ``source``, elementwise or at least of its
        shape, that computes what ``node`` needs and the module's graph has nowhere; return what the
        stage makes."""
        name = self._unique(f"{node.name.rstrip('_')}_part")
        self.tensors[name] = replace(source, name=name)
        self.stages.append(make(name, name))
        return self.tensors[name]

    def compute(self, node: fx.Node) -> str:
        """Return the name of the constant that ``node`` computes of no activation."""
        name = f"{COMPUTED}{node.name}"
        self.computed[name] = node
        return name

    def alias(self, node: fx.Node, source: object) -> None:
        """Bind ``node`` to the tensor ``source`` is bound to, in the memory it lies in."""
        if isinstance(source, fx.Node):
            self._bind(node, source, self._storage[source])

    def copy(self, node: fx.Node, source: object) -> None:
        """Bind ``node`` to the tensor ``source`` is bound to, in memory of its own: a change of one
        in place leaves the other as it is."""
        if isinstance(source, fx.Node):
            self._bind(node, source, next(self._storages))

    def _bind(self, node: fx.Node, source: fx.Node, storage: int) -> None:
        self._bound[node], self._storage[node] = self._bound[source], storage
        self._views.pop(node, None)
        if source in self._views:
            self._views[node] = self._views[source]

    def replace_in_place(self, node: fx.Node) -> None:
        """Let every node that shares the memory ``node`` changed in place mean its result."""
        first = node.args[0]
        assert isinstance(first, fx.Node)
        old, new = self._bound[first], self._bound[node]
        storage = self._storage[node] = self._storage[first]
        for key, where in self._storage.items():
            if where != storage:
                continue
            if self._bound[key] == old and key not in self._views:
                self._bound[key] = new
            elif self._bound[key] != new:
                self._stale.add(key)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.tensors:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def _new(
        self,
        node: fx.Node,
        name: str,
        flat_from: Shape | None = None,
        channel_axis: int = 0,
        storage: int | None = None,
        any_rank: bool = False,
    ) -> None:
        self.check_batch(node)
        if batch_of(node).axis:
            raise _batch_problem(node)
        shape = sizes_of(node) if any_rank else shape_of(node)
        self.tensors[name] = Tensor(name, shape, flat_from, channel_axis)
        self.nodes[name] = node
        self._bound[node] = name
        self._views.pop(node, None)
        self._storage[node] = next(self._storages) if storage is None else storage

    def keeps_batch(self, node: fx.Node) -> bool:
        """Return whether ``node`` makes something of each image."""
        size, inner = node.meta["val"].shape[batch_of(node).axis], batch_of(node).inner
        return str(size) in (self._batch, f"{inner}*{self._batch}")

    def check_batch(self, node: fx.Node) -> None:
        """Check that ``node`` makes one result for each image.

        Raises:
            Unsupported: it does not.
        """
        if not self.keeps_batch(node):
            batch, *shape = node.meta["val"].shape
            raise Unsupported(
                "result mixes the images of a batch",
                f"{batch} x {tuple(shape)}, where the input has {self._batch} images",
                "one result for each image",
                "Correct the sizes; view(x.size(0), -1) and flatten(1) keep the batch",
            )


def axis_of(node: Any, dim: Any) -> int:
    """Return a dimension of what ``node`` makes, which may count from the end, without the
    batch."""
    axis = batch_of(node).own(int(dim) % len(node.meta["val"].shape))
    if axis is None:
        raise Unsupported("images of a batch are picked or moved", f"dim {dim}", "dim 1 or more")
    return axis


def argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    """Return an argument of ``node`` by position or name."""
    if len(node.args) > index:
        return node.args[index]
    return node.kwargs.get(name, default)


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the node's shape without its batch, of 1 to 3 plain integers."""
    sizes = sizes_of(node)
    if not 1 <= len(sizes) <= 3:
        raise _shape_problem(node)
    return sizes


def sizes_of(node: fx.Node) -> tuple[int, ...]:
    """Return the node's shape without its batch, of plain integers."""
    rest = batch_of(node).without(list(getattr(node.meta.get("val"), "shape", ())))
    if not all(isinstance(extent, int) for extent in rest):
        raise _shape_problem(node)
    return tuple(int(extent) for extent in rest)  # type: ignore[call-overload]


def _batch_problem(node: fx.Node) -> Unsupported:
    return Unsupported(
        "the images are not the first dimension, or not alone there, where something is computed",
        tuple(str(extent) for extent in node.meta["val"].shape),
        "batch first; (n * batch, tokens, channels) to what works along the last dimension",
        "Bring the batch to the front before it",
    )


def _shape_problem(node: fx.Node) -> Unsupported:
    return Unsupported(
        "result has an unsupported shape",
        tuple(str(extent) for extent in getattr(node.meta.get("val"), "shape", ())),
        "batch x c, batch x c x n or batch x c x h x w with a free batch only",
        "Keep the batch as the first dimension",
    )
