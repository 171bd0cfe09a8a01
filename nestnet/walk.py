"""State of one walk over an exported graph: which node is which activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import fx

from nestnet.stages import Stage, Tensor


class Unsupported(Exception):
    """An operator, or an option of one, that the integer graph has no equivalent for."""

    def __init__(
        self,
        what: str,
        got: object,
        expected: str = "conv2d, batch_norm, linear, relu/relu6/hardtanh/clamp, add, "
        "max/avg/adaptive pool, mean over h and w, flatten/reshape, dropout, softmax at the end",
        action: str = "Rewrite this line with supported operators",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.got = got
        self.expected = expected
        self.action = action


@dataclass
class Walk:
    """State of one walk over an exported graph."""

    targets: dict[str, str]
    """Placeholder name -> the user's qualified parameter or buffer name."""
    stages: list[Stage] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    _bound: dict[fx.Node, str] = field(default_factory=dict)
    _storage: dict[str, int] = field(default_factory=dict)
    """Tensor name -> storage it lies in; views share one."""
    _stale: set[str] = field(default_factory=set)
    _batch: str = ""
    """The symbol of the batch size."""

    def enter(self, node: fx.Node, name: str) -> None:
        """Bind the network's input."""
        self._batch = str(node.meta["val"].shape[0])
        self._new(node, name, flat_from=None, storage=None)

    def is_activation(self, node: object) -> bool:
        """Return whether ``node`` is bound to an activation tensor."""
        return isinstance(node, fx.Node) and node in self._bound

    def read(self, node: object) -> Tensor | None:
        """Return the activation ``node`` is bound to, None for anything else."""
        if not isinstance(node, fx.Node) or node not in self._bound:
            return None
        name = self._bound[node]
        if name in self._stale:
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
    ) -> None:
        """Append the stage ``make(name, output)`` on ``source`` and bind ``node`` to its output."""
        stage_name = self._unique(name or node.name.rstrip("_"))
        view = is_view(node)
        shape = shape_of(node)
        keep = shape == source.torch_shape
        self._new(
            node,
            stage_name,
            flat_from=source.flat_from if keep else None,
            storage=self._storage[source.name] if view else None,
        )
        self.stages.append(make(stage_name, stage_name))

    def mark_flat(self, node: fx.Node, flat_from: tuple[int, int, int] | None) -> None:
        """Record that the vector ``node`` is a flattened h, w, c map."""
        old = self.tensors[self._bound[node]]
        self.tensors[old.name] = Tensor(old.name, old.torch_shape, flat_from)

    def alias(self, node: fx.Node, source: object) -> None:
        """Bind ``node`` to the tensor ``source`` is bound to."""
        if isinstance(source, fx.Node):
            self._bound[node] = self._bound[source]

    def replace_in_place(self, node: fx.Node) -> None:
        """Let every name of the tensor that ``node`` changed in place mean its result."""
        first = node.args[0]
        assert isinstance(first, fx.Node)
        old, new = self._bound[first], self._bound[node]
        for key, name in self._bound.items():
            if name == old:
                self._bound[key] = new
        storage = self._storage[old]
        self._stale.update(
            name for name, where in self._storage.items() if where == storage and name != new
        )
        self._storage[new] = storage

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.tensors:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def _new(
        self, node: fx.Node, name: str, flat_from: tuple[int, int, int] | None, storage: int | None
    ) -> None:
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
        self._bound[node] = name
        self._storage[name] = len(self._storage) if storage is None else storage


def is_view(node: fx.Node) -> bool:
    """Return whether the node's result may share memory with its argument."""
    return str(node.target).split(".")[1:2] in (
        [name] for name in ("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten")
    )


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
