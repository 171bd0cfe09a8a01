"""Take off what is around a module (data parallelism, torch.compile) or its weights (weight norm,
pruning masks). Modules that are no Python code, or not yet complete, are refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from torch import nn
from torch.jit import ScriptModule
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

from codegen.errors import UserError
from nestnet.frontend.torch_export import copied
from nestnet.notices import notice

_AROUND = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_LISTED = 4
"""Most layers named in a notice."""


def unwrapped(module: nn.Module) -> nn.Module:
    """Return what is inside data parallelism, torch.compile and averaging of weights."""
    while True:
        # Of torch.compile only the attribute: importing its class takes seconds.
        inside = (
            module.module if isinstance(module, _AROUND) else getattr(module, "_orig_mod", None)
        )
        if not isinstance(inside, nn.Module):
            return module
        module = inside


def plain(module: nn.Module) -> nn.Module:
    """Return ``module`` unwrapped, its weights parameters; a copy if they were computed.

    Weights that weight norm, spectral norm, another parametrization or a pruning mask computes
    become what they are in evaluation mode, and a notice says so.

    Raises:
        UserError: a scripted module, or a lazy one that has not seen a batch yet.
    """
    module = unwrapped(module)
    _refuse(module)
    if not any(parametrize.is_parametrized(part) or _hooks(part) for part in module.modules()):
        return module
    copy = copied(module)
    modes = [(part, part.training) for part in copy.modules()]
    copy.eval()
    baked: dict[str, str] = {}
    for name, part in list(copy.named_modules()):
        for weight, how in {**_bake_parametrized(part), **_bake_hooks(part)}.items():
            baked[f"{name}.{weight}".lstrip(".")] = how
    for part, training in modes:
        part.training = training
    listed = [f"'{name}' ({how})" for name, how in baked.items()]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    notice(
        f"computed weights are taken as they are in evaluation mode, and trained as weights from "
        f"then on: {', '.join(listed[:_LISTED])}{more}"
    )
    return copy


def _bake_parametrized(part: nn.Module) -> dict[str, str]:
    """Make parametrized weights parameters; return what computed each.

    PyTorch's own removal changes the class, which a copy shares with the user's module.
    """
    if not parametrize.is_parametrized(part):
        return {}
    chains = cast(nn.ModuleDict, part.parametrizations)
    values = {
        name: (getattr(part, name).detach(), any(p.requires_grad for p in chain.parameters()))
        for name, chain in chains.items()
    }
    hows = {
        name: ", ".join(type(step).__name__.lstrip("_") for step in cast(Iterable[object], chain))
        for name, chain in chains.items()
    }
    del part.parametrizations
    part.__class__ = type(part).__bases__[0]
    for name, (value, trained) in values.items():
        part.register_parameter(name, nn.Parameter(value.clone(), trained))
    return hows


def _hooks(part: nn.Module) -> list[tuple[int, str]]:
    """Return the hooks that compute a weight before every use, and the weights' names."""
    found = []
    for key, hook in part._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm | SpectralNorm):
            found.append((key, hook.name))
        elif isinstance(hook, prune.BasePruningMethod):
            found.append((key, hook._tensor_name))
    return found


def _bake_hooks(part: nn.Module) -> dict[str, str]:
    """Make weights that hooks compute parameters; return what computed each."""
    hows = {}
    for key, name in _hooks(part):
        hook: Any = part._forward_pre_hooks.pop(key)
        sources = [getattr(part, f"{name}_{end}", None) for end in ("orig", "g", "v")]
        trained = any(source.requires_grad for source in sources if source is not None)
        hook.remove(part)
        getattr(part, name).requires_grad_(trained)
        masked = isinstance(hook, prune.BasePruningMethod)
        hows[name] = "pruning mask" if masked else type(hook).__name__
    return hows


def _refuse(module: nn.Module) -> None:
    """Refuse parts that are no Python code and parts without weights."""
    for name, part in module.named_modules():
        where = f"module '{name or '(the model itself)'}'"
        if isinstance(part, ScriptModule):
            raise UserError(
                where,
                "a scripted or traced module cannot be read",
                got=type(part).__name__,
                expected="a module of Python code",
                action="Give the module that torch.jit.script or torch.jit.trace was given",
            )
        tensors = (*part.parameters(recurse=False), *part.buffers(recurse=False))
        if any(is_lazy(tensor) for tensor in tensors):
            raise UserError(
                where,
                "a lazy module does not know its weights yet",
                got=type(part).__name__,
                expected="weights of a known shape",
                action="Run one batch through the model first: model(torch.zeros(2, c, h, w))",
            )
