"""Put layers into a module tree under the names a user has for them."""

from __future__ import annotations

from torch import nn


def place(root: nn.Module, path: str, layer: nn.Module) -> None:
    """Register ``layer`` below ``root`` at the dotted ``path``.

    Where that name holds other layers already it takes them in; where it is itself a layer's (a
    convolution and a batch norm written in one module), it gets a number behind it.
    """
    parent = root
    *parents, leaf = path.split(".")
    for name in parents:
        below = parent._modules.get(name)
        parent = _register(parent, name, nn.Module()) if below is None else below
    holder = parent._modules.get(leaf)
    if holder is not None and type(holder) is nn.Module:
        for name, child in holder.named_children():
            _register(layer, name, child)
        parent._modules[leaf] = layer
    else:
        _register(parent, leaf, layer)


def _register(parent: nn.Module, name: str, child: nn.Module) -> nn.Module:
    """Add ``child`` to ``parent`` under ``name``, or the next free name if that is taken; return
    the child."""
    free, count = name, 1
    while hasattr(parent, free):
        count += 1
        free = f"{name}_{count}"
    parent.add_module(free, child)
    return child
