"""Train one network that holds several sparse networks inside each other, down to plain C.

    import nestnet
    run = nestnet.train(dataset="digits", sparsity=(0.9, 0.8, 0.7, 0.5))
    nestnet.evaluate(run)

The public functions are ``nest``, ``train``, ``resume``, ``evaluate``, ``quantize`` and ``export``
(see :mod:`nestnet.api`). They load PyTorch when first used, so that commands without training
start at once.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from nestnet.version import VERSION as __version__

__all__ = [
    "Quantization",
    "__version__",
    "evaluate",
    "export",
    "nest",
    "quantize",
    "resume",
    "train",
]

_PUBLIC = frozenset({"Quantization", "evaluate", "export", "nest", "quantize", "resume", "train"})


class _Package(ModuleType):
    """Keeps ``nestnet.train`` the function when the submodule of the same name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nestnet' has no attribute {name!r}")
    from nestnet import api

    return getattr(api, name)


sys.modules[__name__].__class__ = _Package
