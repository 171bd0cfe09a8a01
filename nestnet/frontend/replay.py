"""Compute the values of an exported graph's nodes: what the module computes, step by step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch.overrides import TorchFunctionMode

from nestnet.net.ops import ATEN


@dataclass(frozen=True, eq=False)
class Program:
    """The part of an exported graph that its outputs depend on."""

    nodes: tuple[fx.Node, ...]
    """In execution order, placeholders included."""
    inputs: tuple[fx.Node, ...]
    outputs: tuple[fx.Node, ...]
    tensors: Mapping[str, Tensor]
    """Placeholder name -> parameter, buffer or constant."""
    names: Mapping[str, str]
    """Placeholder name -> the user's qualified name of it."""


def operator_name(node: fx.Node) -> str:
    """Return the operator without overload: 'conv2d', 'relu_'."""
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    if packet is not None:
        return str(packet.__name__)
    return str(getattr(target, "__name__", target))


@torch.no_grad()
def replay(
    program: Program,
    images: Sequence[Tensor],
    wanted: Collection[fx.Node],
    *,
    as_evaluation: bool,
) -> dict[fx.Node, Tensor]:
    """Return the values of the ``wanted`` nodes for ``images``, (n, c, h, w) for each input.

    Everything is computed in the number format of ``images``. ``as_evaluation`` computes a graph
    that was captured in training mode as evaluation mode would: batch norm with its running
    statistics, dropout changing nothing.
    """
    dtype = images[0].dtype
    values: dict[fx.Node, Any] = {}
    given = dict(zip(program.inputs, images, strict=True))
    found: dict[fx.Node, Tensor] = {}
    for node in program.nodes:
        if node in given:
            values[node] = given[node].clone()  # the graph may change its input in place
        elif node.op == "placeholder":
            tensor = program.tensors[node.name].detach()
            values[node] = tensor.to(dtype, copy=True) if tensor.is_floating_point() else tensor
        else:
            arguments, keywords = _arguments(node, values, dtype)
            row = ATEN.get(operator_name(node).rstrip("_"))
            if as_evaluation and row is not None and row.mode_argument is not None:
                arguments[row.mode_argument] = False
            function: Any = node.target
            values[node] = function(*arguments, **keywords)
        if node in wanted:
            found[node] = values[node].clone()  # a later node may change it in place
    return found


def _arguments(
    node: fx.Node, values: Mapping[fx.Node, Any], dtype: torch.dtype
) -> tuple[list[Any], dict[str, Any]]:
    """Return a node's arguments; a request for float32, the only format a traced graph may ask
    for, becomes one for ``dtype``, and an epsilon that is left to the format is float32's."""

    def value(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return values[argument]
        if isinstance(argument, torch.dtype):
            return dtype if argument == torch.float32 else argument
        if isinstance(argument, Sequence) and not isinstance(argument, str):
            return [value(item) for item in argument]
        return argument

    arguments = [value(a) for a in node.args]
    keywords = {key: value(a) for key, a in node.kwargs.items()}
    if operator_name(node) == "rms_norm":
        arguments, keywords = _with_epsilon(arguments, keywords)
    return arguments, keywords


class Float32Epsilon(TorchFunctionMode):
    """Lets root mean square norms without an epsilon add float32's, in whatever they compute."""

    def __torch_function__(
        self,
        func: Any,
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``."""
        keywords = dict(kwargs or {})
        if func in (torch.rms_norm, F.rms_norm):
            args, keywords = _with_epsilon(list(args), keywords)
        return func(*args, **keywords)


def _with_epsilon(
    arguments: list[Any], keywords: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a root mean square norm, with float32's epsilon where it has none."""
    given = arguments[3] if len(arguments) > 3 else keywords.get("eps")
    epsilon = torch.finfo(torch.float32).eps if given is None else given
    return arguments[:3], keywords | {"eps": epsilon}
