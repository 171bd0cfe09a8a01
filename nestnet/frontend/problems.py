"""Say what a graph has that the integer graph cannot express, where, and what to use instead."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import fx, nn

from codegen.errors import UserError
from nestnet.frontend.handwritten import written_out
from nestnet.frontend.replay import operator_name
from nestnet.net.ops import ACTIVATIONS, ATEN, SUPPORTED
from nestnet.net.walk import Unsupported

_FOREIGN = (*(f"{Path(path).parent}{os.sep}" for path in (torch.__file__, __file__)), "<frozen ")
"""What source lines start with that tell a user nothing: the folders of PyTorch and of this
package, and what is built into Python."""
_PLACES = 4
"""Most source lines listed of one problem, and most modules of one line."""

_ACTIVATION = f"{', '.join(ACTIVATIONS[:-1])} or {ACTIVATIONS[-1]}"
_NORMALIZATION = "nn.BatchNorm2d"
_INSTEAD = {
    **dict.fromkeys(
        ("softsign", "log_sigmoid", "threshold", "hardshrink", "softshrink",
         "tanhshrink", "glu"),
        _ACTIVATION,
    ),
    **dict.fromkeys(("native_group_norm", "native_layer_norm", "local_response_norm"),
                    _NORMALIZATION),
    **dict.fromkeys(("rrelu", "rrelu_with_noise"),
                    f"nn.LeakyReLU with a constant slope, or another of {_ACTIVATION}"),
    **dict.fromkeys(("maximum", "minimum", "where", "gt", "ge", "lt", "le", "sign", "expm1"),
                    "the module of an activation function in place of its formula: nn.LeakyReLU, "
                    f"nn.ELU, or another of {_ACTIVATION}"),
    **dict.fromkeys(("stack", "hstack", "dstack"), "torch.cat along an existing dimension"),
    **dict.fromkeys(("index", "index_select", "gather"), "slices: x[:, 1:3], x.split(2, 1)"),
    "roll": "torch.cat of two slices",
    "conv3d": "nn.Conv2d, the third dimension as channels",
    **dict.fromkeys(("interpolate", "upsample_bicubic2d", "_upsample_bilinear2d_aa"),
                    "nn.Upsample by whole numbers (nearest), bilinear upsampling or "
                    "nn.ConvTranspose2d"),
    "conv_transpose3d": "nn.ConvTranspose2d, the third dimension as channels",
    **dict.fromkeys(("einsum", "mm", "addmm", "baddbmm"),
                    "torch.matmul of two activations, or nn.Linear"),
    **dict.fromkeys(("gru", "lstm", "rnn_tanh", "rnn_relu"), "nn.Conv1d along time, dilated "
                    "where it shall look far back; recurrent layers have no equivalent"),
    **dict.fromkeys(("wrap_with_set_grad_enabled", "_set_grad_enabled"), "no torch.no_grad() in "
                    "forward: detach() its result, or set requires_grad=False on the parameters"),
    "topk": "a maximum over dimensions",
    **dict.fromkeys(("amin", "min"), "the maximum of the negative"),
    **dict.fromkeys(("norm", "var", "std", "prod"), "mean, sum or maximum over dimensions"),
}  # fmt: skip
"""Operator without overload -> what to use instead, as long as nothing reads it."""


class CannotExpress(UserError):
    """A model has operators that the integer graph has no equivalent for."""

    summary: str = ""
    """The operators alone: '2 x silu, 1 x mul'."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One node that cannot be expressed."""

    node: fx.Node
    error: Unsupported

    @property
    def operator(self) -> str:
        """Return the operator as PyTorch names it: 'silu.default'."""
        return str(self.node.target).removeprefix("aten.")

    @property
    def action(self) -> str:
        """Return what to do about it."""
        name = operator_name(self.node).rstrip("_")
        instead = None if name in ATEN else _INSTEAD.get(name)
        if known := written_out(self.node):
            return f"Use {known}, which this is a step of"
        if self.error.action:
            return self.error.action
        return f"Use {instead}" if instead else "Rewrite it with supported operators"


def module_path(node: fx.Node) -> str:
    """Return the path of the innermost module ``node`` lies in; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    return next((str(entry[0]) for entry in reversed(list(stack.values())) if entry[0]), "")


def source_lines(node: fx.Node) -> list[str]:
    """Return 'file.py:12' for the user's frames of ``node``, innermost last."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    return [f"{file}:{line}" for file, line in frames if not file.startswith(_FOREIGN)]


def user_line(frames: Iterable[tuple[str, int]]) -> str:
    """Return 'file.py:12' for the last of ``frames`` that is the user's; empty where none is."""
    own = [f"{file}:{line}" for file, line in frames if not file.startswith(_FOREIGN)]
    return own[-1] if own else ""


def source_line(node: fx.Node) -> str:
    """Return the user's innermost source line of ``node``; empty where there is none."""
    lines = source_lines(node)
    return lines[-1] if lines else ""


def place(node: fx.Node) -> str:
    """Return the user's source line of ``node``, where there is one, and its module's path."""
    line = source_line(node)
    module = f"module '{module_path(node) or '(the model itself)'}'"
    return f"{line}, {module}" if line else module


def unsupported(module: nn.Module, problems: Sequence[Problem]) -> CannotExpress:
    """Return the one error for all ``problems`` of ``module``."""
    kinds: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        key = (problem.operator, problem.error.what, str(problem.error.got))
        kinds.setdefault(key, []).append(problem)
    first = problems[0]
    if len(problems) == 1:
        error = CannotExpress(
            f"{place(first.node)}, operator {first.operator}",
            first.error.what,
            got=first.error.got,
            expected=first.error.expected or SUPPORTED,
            action=first.action,
        )
    else:
        error = CannotExpress(
            f"model {type(module).__name__}",
            f"{len(problems)} operators cannot be expressed",
            got="\n" + "\n".join(_entry(found) for found in kinds.values()) + "\n",
            expected=SUPPORTED,
            action="Replace them all; what depends on them is looked at again then",
        )
    names = Counter(operator_name(problem.node) for problem in problems)
    error.summary = ", ".join(f"{count} x {name}" for name, count in names.items())
    return error


def _entry(found: Sequence[Problem]) -> str:
    """Return the lines about one kind of problem: how often, what, instead of it, where."""
    first = found[0]
    what = first.error.what
    if str(first.error.got) != str(first.node.target):
        what += f" ({first.error.got}; expected {first.error.expected or SUPPORTED})"
    return f"  {len(found)} x {first.operator}: {what}. {first.action}. At {_places(found)}"


def _places(found: Sequence[Problem]) -> str:
    """Return each source line of ``found`` once, with the modules that come by there."""
    by_line: dict[str, list[str]] = {}
    for problem in found:
        modules = by_line.setdefault(source_line(problem.node), [])
        path = f"'{module_path(problem.node) or '(the model itself)'}'"
        if path not in modules:
            modules.append(path)
    texts = []
    for line, modules in itertools.islice(by_line.items(), _PLACES):
        listed = _first(modules)
        texts.append(f"{line}, {listed}" if line else listed)
    return "; ".join(texts) + _more(len(by_line), " lines")


def _first(modules: Sequence[str]) -> str:
    word = "module" if len(modules) == 1 else "modules"
    return f"{word} {', '.join(modules[:_PLACES])}{_more(len(modules))}"


def _more(count: int, what: str = "") -> str:
    return f" and {count - _PLACES} more{what}" if count > _PLACES else ""
