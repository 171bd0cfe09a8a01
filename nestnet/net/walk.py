"""Read an exported graph into stages: which node is which activation, and what reads a node."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from nestnet.net.stages import Stage
from nestnet.net.tensors import Shape, Tensor

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

    targets: dict[str, str]
    """Placeholder name -> the user's qualified parameter or buffer name."""
    evaluation: bool = False
    """Whether the graph was captured in evaluation mode."""
    training_dropouts: Collection[fx.Node] = ()
    """Of a graph in evaluation mode, the dropouts that are on in training mode."""
    stages: list[Stage] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: dict[str, fx.Node] = field(default_factory=dict)
    """Tensor name -> the node that computes it."""
    _lost: set[fx.Node] = field(default_factory=set)
    """Results of unsupported operators whose shape no activation can have."""
    _bound: dict[fx.Node, str] = field(default_factory=dict)
    _storage: dict[fx.Node, int] = field(default_factory=dict)
    """Storage that the result lies in: views share one, copies of one tensor do not."""
    _storages: Iterator[int] = field(default_factory=itertools.count)
    _stale: set[fx.Node] = field(default_factory=set)
    _batch: str = ""
    """The symbol of the batch size."""

    def enter(self, node: fx.Node, name: str) -> None:
        """Bind an input of the network."""
        self._batch = self._batch or str(node.meta["val"].shape[0])
        self._new(node, name, flat_from=None, storage=None)

    def is_activation(self, node: object) -> bool:
        """Return whether ``node`` is bound to an activation tensor."""
        return isinstance(node, fx.Node) and node in self._bound

    def is_lost(self, node: fx.Node) -> bool:
        """Return whether reading could not go on at ``node``."""
        return node in self._lost

    def suppose(self, node: fx.Node) -> None:
        """Go on behind an operator that cannot be expressed, as if it made a good activation."""
        source = next((self._bound[n] for n in node.all_input_nodes if n in self._bound), None)
        before = None if source is None else self.tensors[source]
        try:
            same = before is not None and before.torch_shape == shape_of(node)
            flat_from = before.flat_from if before is not None and same else None
            self._new(node, self._unique(node.name), flat_from, None)
        except Unsupported:
            self._lost.add(node)

    def read(self, node: object) -> Tensor | None:
        """Return the activation ``node`` is bound to, None for anything else."""
        if not isinstance(node, fx.Node) or node not in self._bound:
            return None
        name = self._bound[node]
        if node in self._stale:
            raise Unsupported(
                "a tensor is used after a view of it was changed in place",
                name,
                "values that are not changed in place through a view",
                "Use the out-of-place form of the operator",
            )
        return self.tensors[name]

    def activation(self, node: fx.Node, index: int = 0) -> Tensor:
        """Return argument ``index`` of ``node``, which must be an activation."""
        tensor = self.read(node.args[index])
        if tensor is None:
            raise Unsupported("an operand is not an activation", node.args[index])
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
        is_view: bool = False,
    ) -> None:
        """Append the stage ``make(name, output)`` on ``source`` and bind ``node`` to its output.

        An elementwise stage leaves a flattened map a flattened map; what any other makes is one
        only where ``flat_from`` (h, w, c) says so.
        """
        stage_name = self._unique(name or node.name.rstrip("_"))
        stage = make(stage_name, stage_name)
        self._new(
            node,
            stage_name,
            flat_from=source.flat_from if stage.elementwise else flat_from,
            storage=self._storage[node.all_input_nodes[0]] if is_view else None,
        )
        self.stages.append(stage)

    def emit_beside(self, node: fx.Node, make: Callable[[str, str], Stage]) -> Tensor:
        """Append the stage ``make(name, output)`` on what ``node`` is bound to, and stays bound to;
        return what the stage makes."""
        before, storage = self._bound[node], self._storage[node]
        self.emit(node, self.tensors[before], make)
        made, self._bound[node], self._storage[node] = self._bound[node], before, storage
        return self.tensors[made]

    def alias(self, node: fx.Node, source: object) -> None:
        """Bind ``node`` to the tensor ``source`` is bound to, in the memory it lies in."""
        if isinstance(source, fx.Node):
            self._bound[node] = self._bound[source]
            self._storage[node] = self._storage[source]

    def copy(self, node: fx.Node, source: object) -> None:
        """Bind ``node`` to the tensor ``source`` is bound to, in memory of its own: a change of one
        in place leaves the other as it is."""
        if isinstance(source, fx.Node):
            self._bound[node] = self._bound[source]
            self._storage[node] = next(self._storages)

    def replace_in_place(self, node: fx.Node) -> None:
        """Let every node that shares the memory ``node`` changed in place mean its result."""
        first = node.args[0]
        assert isinstance(first, fx.Node)
        old, new = self._bound[first], self._bound[node]
        storage = self._storage[node] = self._storage[first]
        for key, where in self._storage.items():
            if where != storage:
                continue
            if self._bound[key] == old:
                self._bound[key] = new
            elif self._bound[key] != new:
                self._stale.add(key)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.tensors:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def _new(self, node: fx.Node, name: str, flat_from: Shape | None, storage: int | None) -> None:
        shape = shape_of(node)
        batch = str(node.meta["val"].shape[0])
        if batch != self._batch:
            raise Unsupported(
                "result mixes the images of a batch",
                f"{batch} x {shape}, where the input has {self._batch} images",
                "one result for each image",
                "Correct the sizes; view(x.size(0), -1) and flatten(1) keep the batch",
            )
        self.tensors[name] = Tensor(name, shape, flat_from)
        self.nodes[name] = node
        self._bound[node] = name
        self._storage[node] = next(self._storages) if storage is None else storage


_KEEPS = ("clone", "contiguous", "cat", "clamp", "clip", "clamp_min", "clamp_max", "relu", "relu6",
          "hardtanh", "dropout")  # fmt: skip
"""What leaves a probability a probability, beside a change of shape."""


def is_last(node: fx.Node) -> bool:
    """Return whether only changes of shape, copies, limits and concatenation lie between ``node``
    and the output."""

    def keeps(user: fx.Node) -> bool:
        name = str(user.target).removeprefix("aten.").partition(".")[0].rstrip("_")
        return getattr(user.target, "is_view", False) or name in _KEEPS

    users = [user for user in node.users if not isinstance(user.meta.get("val"), torch.SymInt)]
    return bool(users) and all(
        user.op == "output" or (keeps(user) and is_last(user)) for user in users
    )


def argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    """Return an argument of ``node`` by position or name."""
    if len(node.args) > index:
        return node.args[index]
    return node.kwargs.get(name, default)


def along(tensor: Tensor, value: Any, height: int = 1) -> tuple[int, int]:
    """Return a size along height and width that may be given as one number; of samples in a row
    the size along the row, and ``height``."""
    values = [value] if isinstance(value, int) else [int(item) for item in value]
    if len(tensor.torch_shape) == 2:
        return (height, values[0])
    return (values[0], values[-1])


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the node's shape without its batch, of 1 to 3 plain integers."""
    value = node.meta.get("val")
    shape = tuple(getattr(value, "shape", ()))
    rest = shape[1:]
    if not 1 <= len(rest) <= 3 or not all(isinstance(extent, int) for extent in rest):
        raise Unsupported(
            "result has an unsupported shape",
            tuple(str(extent) for extent in shape),
            "batch x c, batch x c x n or batch x c x h x w with a free batch only",
            "Keep the batch as the first dimension",
        )
    return tuple(int(extent) for extent in rest)


def one_order(*shapes: tuple[int, ...]) -> bool:
    """Return whether c, h, w and h, w, c are one order: all shapes have one channel or position."""
    return all(shape[0] == 1 or math.prod(shape[1:]) == 1 for shape in shapes)
