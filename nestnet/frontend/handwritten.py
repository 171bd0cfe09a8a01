"""Recognise activation functions that a model computes step by step from operators."""

from __future__ import annotations

from torch import fx

from nestnet.frontend.replay import operator_name

_DEPTH = 3
"""Most operators between a step of a function and the product that ends it."""
_PIECEWISE = ("maximum", "minimum", "where")


def written_out(node: fx.Node) -> str:
    """Return the module of torch.nn that ``node`` is a step of, empty if it is of none known."""
    near = [node, *node.all_input_nodes]
    layer = [node]
    for _ in range(_DEPTH):
        layer = [user for known in layer for user in known.users]
        near += layer
    for product in near:
        name, steps = _product(product)
        if name and (node in steps or _scaled(node) is product):
            return name
    return ""


def _product(node: fx.Node) -> tuple[str, list[fx.Node]]:
    """Return which function the product ``node`` is a step of, and its steps; empty if none."""
    pieces = [user for user in node.users if _name(user) in _PIECEWISE]
    same = any(_scaled(node) in user.all_input_nodes for user in pieces)
    return ("nn.LeakyReLU", [node, *pieces]) if same else ("", [])


def _scaled(node: fx.Node) -> fx.Node | None:
    """Return what ``node`` multiplies by a constant or divides by one; None if it does neither."""
    if _name(node) not in ("mul", "div") or len(node.all_input_nodes) != 1:
        return None
    numbers = [value for value in node.args if isinstance(value, int | float)]
    return node.all_input_nodes[0] if len(numbers) == 1 else None


def _name(node: fx.Node) -> str:
    return operator_name(node).rstrip("_")
